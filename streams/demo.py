"""The demo's run: a small simulated world, or somebody's file, through all pipelines in this process."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from redis.asyncio import Redis

from schemas.errors import BadMessage
from schemas.privacy import Tokeniser
from schemas.records import AnyRecord, Record
from schemas.results import DeadLetter
from schemas.topics import DEAD_LETTERS, TRANSACTIONS
from sinks.analytics import AnalyticsSink
from streams.assembly import pipeline
from streams.inbound import CODE_VERSION
from streams.item_simulator import Shoppers
from streams.mappings import Mapping, records
from streams.offer_simulator import Customers
from streams.replay import Replay
from streams.result_stores import ResultStores
from streams.sealing import Seal
from streams.settings import Settings
from streams.simulator import World, simulate
from streams.tally import Tally

DAYS = 60
LEAST_CUSTOMERS = 50
CHUNK = 250

VIEWS = (
    *("events", "features", "scores", "alerts", "labels", "model_versions", "dead_letters"),
    *("rankings", "rewards", "ranker_versions", "offer_usage"),
    *("recommendations", "item_demand"),
)


@dataclass(frozen=True)
class Sources:
    """What happens whatever the pipeline says, and customers who answer it; those of a file say what is in it.

    `customers` look at offers, `shoppers` at what is recommended.
    """

    records: Iterable[AnyRecord]
    customers: Customers | None = None
    shoppers: Shoppers | None = None

    def happening(self) -> Iterator[AnyRecord]:
        """Yield everything by time, as it depends on what has been heard by then."""
        happening = iter(self.records)
        for answering in (self.customers, self.shoppers):
            happening = happening if answering is None else answering.among(happening)
        return happening

    def hear(self, said: AnyRecord) -> None:
        """Let the customers know of something the pipeline says."""
        for answering in (self.customers, self.shoppers):
            if answering is not None:
                answering.hear(said)

    @property
    def waiting(self) -> int:
        """How many requests of the customers have no ranking yet."""
        return 0 if self.customers is None else self.customers.waiting

    @property
    def random_rate(self) -> float | None:
        """The rate at which offers shown at random would be redeemed; None where nobody knows."""
        return None if self.customers is None else self.customers.random_rate


def demo_world(events: int, seed: int) -> World:
    """Return a world in which about `events` payments are made in two months, so that labels have time to come.

    Fewer than 6,000 payments are made in proportionally less time, by fifty customers.
    """
    customers = max(LEAST_CUSTOMERS, events // (2 * DAYS))
    days = max(2 * DAYS, events // customers + 1)
    return World(seed, customers=customers, terminals=customers * 3 // 2, days=days, fraud_rate=0.02)


def simulated(world: World, tokeniser: Tokeniser) -> Iterator[AnyRecord]:
    """Yield what happens in a world, as the edge of a live pipeline would admit it: without personal data."""
    for record in simulate(world):
        message = record.topic.decode(record.topic.encode(record.message), tokeniser)
        yield Record(record.topic, message, record.id, record.partition, record.offset)


def from_file(path: Path, mapping: Mapping | None, settings: Settings) -> Iterator[AnyRecord]:
    """Yield a file's transactions, and the chargebacks of those it knows as frauds once the label window has passed.

    A row that is no transaction is yielded as a dead letter; its bytes stay in the file.
    """
    refused: list[AnyRecord] = []
    sealed = b64encode(Seal(settings.key("dead-letters")).close(b"")).decode()

    def refuse(row: int, bad: BadMessage) -> None:
        letter = DeadLetter(
            event_id=f"{TRANSACTIONS.name}/0/{row}",
            event_time=0,
            reason=bad.reason,
            detail=bad.detail,
            topic=TRANSACTIONS.name,
            partition=0,
            offset=row,
            value=sealed,
            code_version=CODE_VERSION,
        )
        refused.append(Record(DEAD_LETTERS, letter, f"{letter.event_id}>edge.0"))

    tokeniser = Tokeniser({"1": settings.key("tokens")})
    delay = settings.label_window
    rows = records(path, TRANSACTIONS, mapping, label_delay_ms=delay, tokeniser=tokeniser, refuse=refuse)
    for record in rows:
        yield from refused
        refused.clear()
        yield record
    yield from refused


def first(events: int, sources: Iterable[AnyRecord]) -> Iterator[AnyRecord]:
    """Yield the records up to the given number of transactions, the feedback between them included."""
    left = events
    for record in sources:
        left -= record.topic is TRANSACTIONS
        if left < 0:
            return
        yield record


async def run(
    settings: Settings, sources: Sources, analytics: AnalyticsSink, tally: Tally, show: Callable[[], None]
) -> None:
    """Step what happens, keep it and what is said in Redis and ClickHouse, and return once all of it rests there.

    `show` is called every few hundred events. Raises SinkBusy when a store stays away.
    """
    engine = Replay(pipeline(settings))
    redis = Redis.from_url(settings.redis)
    stores = ResultStores(redis, analytics)
    remaining = sources.happening()
    try:
        while taken := list(_stepped(engine, islice(remaining, CHUNK), sources.hear)):
            for record in taken:
                tally.take(record)
            await stores.keep(taken, {name: task.reached for name, task in engine.tasks.items()})
            show()
        await stores.settle()
    finally:
        await redis.aclose()


def _stepped(engine: Replay, records: Iterable[AnyRecord], hear: Callable[[AnyRecord], None]) -> Iterator[AnyRecord]:
    """Yield each record and what is said of it, which is heard before the next record is asked for."""
    for record in records:
        yield record
        for said in engine.step(record):
            hear(said)
            yield said
