"""headrace on the reference work: its two hops as processors, run by the live engine in one worker.

Runs until SIGTERM. Everything a worker always does is included: states, results and offsets go to Redis in one fenced
transaction a batch, the outbox with them, every delivery is verified and every batch journalled.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import structlog
from redis.asyncio import Redis

from benchmarks.peers.arguments import Arguments, parse_arguments
from benchmarks.reference import TerminalStep, customer_step
from processors.base import Said, Tables
from schemas.records import AnyRecord, AnyTopic, Topic
from sinks.checkpoint import RedisStore
from sinks.serving import Reader, Served
from sinks.store import Commit
from streams.collector import spare_keyed_state
from streams.faust_app import faust_app
from streams.live import execute
from streams.outbox import unpack
from streams.pipeline import Pipeline
from streams.settings import Settings
from streams.worker import Worker

KEEP_MS = 3_600_000


class Payment(msgspec.Struct, frozen=True):
    """One card transaction, as upstream sends it."""

    event_id: str
    user: str
    terminal: str
    amount: float
    currency: str
    event_time: int


class Enriched(Payment, frozen=True):
    """A transaction with its customer's features."""

    features: list[float]


class Scored(msgspec.Struct, frozen=True):
    """A scored transaction."""

    event_id: str
    user: str
    terminal: str
    event_time: int
    score: float
    features: list[float]


class Totals(msgspec.Struct, array_like=True, frozen=True):
    """What the reference keeps of a customer or a terminal."""

    numbers: tuple[float, ...]


class CustomerHop:
    """The first hop: a customer's features, sent on to the terminal."""

    name = "customer"
    tables = ()
    state = Totals

    def __init__(self, payments: AnyTopic, enriched: AnyTopic) -> None:
        self.inputs = (payments,)
        self.outputs = (enriched,)
        self._enriched = enriched

    def step(self, state: Totals | None, record: AnyRecord, tables: Tables) -> tuple[Totals, Iterable[Said]]:
        """Return the customer's next state, and the enriched transaction."""
        numbers, enriched = customer_step(state.numbers if state else None, msgspec.structs.asdict(record.message))
        return Totals(tuple(numbers)), (Said(self._enriched, Enriched(**enriched)),)


class TerminalHop:
    """The second hop: the score. Its model is one per process, as it is for every contestant."""

    name = "terminal"
    tables = ()
    state = Totals

    def __init__(self, enriched: AnyTopic, scored: AnyTopic) -> None:
        self.inputs = (enriched,)
        self.outputs = (scored,)
        self._scored = scored
        self._terminal = TerminalStep()

    def step(self, state: Totals | None, record: AnyRecord, tables: Tables) -> tuple[Totals, Iterable[Said]]:
        """Return the terminal's next state, and the scored transaction."""
        numbers, result = self._terminal.step(state.numbers if state else None, msgspec.structs.asdict(record.message))
        return Totals(tuple(numbers)), (Said(self._scored, Scored(**result)),)


class ServingStore(RedisStore):
    """Keeps each result for readers under its event id, in the transaction that commits it."""

    def __init__(self, client: Redis, results: str) -> None:
        super().__init__(client)
        self._results = results

    async def commit(self, task: str, epoch: int, commit: Commit) -> None:
        """Apply a batch with its results."""
        said = [each for each in unpack(commit.outbox) if each.topic == self._results]
        served = tuple(Served(f"{self._results}:{each.key}", each.value, KEEP_MS) for each in said)
        await super().commit(task, epoch, msgspec.structs.replace(commit, served=served))


def reference_pipeline(source: str, results: str) -> Pipeline:
    """Return the two hops between two topics, re-keyed through a third, `<results>.by-terminal`."""
    payments: Topic[Payment] = Topic(source, Payment, key=lambda m: m.user, time=lambda m: m.event_time)
    enriched: Topic[Enriched] = Topic(
        between(results), Enriched, key=lambda m: m.terminal, time=lambda m: m.event_time, internal=True
    )
    scored: Topic[Scored] = Topic(results, Scored, key=lambda m: m.event_id, time=lambda m: m.event_time)
    return Pipeline((CustomerHop(payments, enriched), TerminalHop(enriched, scored)))


def between(results: str) -> str:
    """Return the name of the topic between the hops, which must exist before a worker starts."""
    return f"{results}.by-terminal"


def run(arguments: Arguments) -> None:
    """Run one worker."""
    spare_keyed_state()
    structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])
    settings = Settings(kafka=arguments.kafka, redis=arguments.redis, group=arguments.group, throw_away=True)
    client = Redis.from_url(settings.redis)
    pipeline = reference_pipeline(arguments.input, arguments.output)
    worker = Worker(pipeline, settings, ServingStore(client, arguments.output), Reader(client).progress)
    execute(faust_app(worker))


if __name__ == "__main__":
    run(parse_arguments(__doc__))
