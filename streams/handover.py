"""Handing history over to live workers: each task's states and place in the log, as if it had been there."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from time import time
from typing import TypeVar

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.errors import BadMessage
from schemas.records import AnyTopic
from sinks.base import Progress
from sinks.serving import Served, serve
from sinks.store import Commit, Position, Store
from streams.backfill import Backfill
from streams.batch import Meta
from streams.deliveries import Deliveries
from streams.inbound import Raw
from streams.journal import Log
from streams.outbox import Outbound, outbound, pack
from streams.pipeline import Pipeline
from streams.state_codec import state_codec
from streams.task import Task

CHUNK = 5_000
"""States, and served results, in one commit: Redis serves nobody else meanwhile."""

SCANNED = 1_000
T = TypeVar("T")
TIMEOUT_SECONDS = 15.0


class WorkersRunning(RuntimeError):
    """Workers are at the tasks whose state is to be replaced."""


def refuse_running_workers(bootstrap: str, group: str) -> None:
    """Raise WorkersRunning while a consumer group has members."""
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        members = client.describe_consumer_groups([group], request_timeout=TIMEOUT_SECONDS)[group].result().members
    except KafkaException:
        return  # a broker that has never heard of the group says so by an error
    if members:
        raise WorkersRunning(f"{len(members)} workers of group {group} are running: stop them first")


def places(
    pipeline: Pipeline, log: Log, since: int, covered: Collection[str]
) -> tuple[dict[Position, int], dict[str, dict[int, int]]]:
    """Return the last offset that counts as taken of each input partition, and where live workers begin to read.

    Of a source that history has `covered` they begin at its first event of time `since` (milliseconds) or later, of
    others at the log's start. What tasks say to each other is theirs from its end on.
    """
    taken: dict[Position, int] = {}
    live: dict[str, dict[int, int]] = {}
    for topic in dict.fromkeys(topic for processor in pipeline.processors for topic in processor.inputs):
        begin: Mapping[int, int] = log.ends(topic.name)
        if topic in pipeline.sources:
            begin = _live_begin(log, topic, since) if topic.name in covered else dict.fromkeys(begin, 0)
            live[topic.name] = dict(begin)
        taken |= {Position(topic.name, partition): first - 1 for partition, first in begin.items() if first}
    return taken, live


def _live_begin(log: Log, topic: AnyTopic, since: int) -> dict[int, int]:
    """Return the first offset of each partition whose event is of time `since` or later, its end where none is."""
    return {
        partition: next(_since(topic, iter(log.read(topic.name, partition, 0, end - 1)), since), end)
        for partition, end in log.ends(topic.name).items()
    }


def _since(topic: AnyTopic, stored: Iterator[Raw], since: int) -> Iterator[int]:
    while batch := list(islice(stored, SCANNED)):
        for raw, message in zip(batch, topic.decode_batch([raw.value for raw in batch]), strict=True):
            if not isinstance(message, BadMessage) and topic.time(message) >= since:
                yield raw.offset


class Handover:
    """Writes what a backfill came to into the store, task by task, and produces the newest entry of every table.

    Nobody else may own the tasks: raises Fenced when somebody claims one meanwhile, and SinkBusy when the store is
    away. After either, the store holds a part of it, which is to be cleared.
    """

    def __init__(self, backfill: Backfill, store: Store, deliveries: Deliveries) -> None:
        self.states = 0
        self._backfill = backfill
        self._store = store
        self._deliveries = deliveries

    async def write(self, taken: Mapping[Position, int]) -> None:
        """Write all tasks; `taken` is the last offset taken of each input partition."""
        served: dict[str, list[Served]] = {}
        for name, record in self._backfill.recent:
            served.setdefault(name, []).extend(serve(record, record.topic.encode(record.message)))
        outboxes: dict[str, list[Outbound]] = {}
        for name, record in self._backfill.newest.values():
            value = record.topic.encode(record.message)
            served.setdefault(name, []).extend(serve(record, value))
            outboxes.setdefault(name, []).append(outbound(record, value))
        for name, task in self._backfill.engine.tasks.items():
            await self._write_task(name, task, taken, served.get(name, []), outboxes.get(name, []))

    async def _write_task(
        self,
        name: str,
        task: Task,
        taken: Mapping[Position, int],
        served: Sequence[Served],
        said: Sequence[Outbound],
    ) -> None:
        claim = await self._store.claim(name)
        commits = _Commits(name, task, taken, claim.sequence)
        for keys, results in zip_longest(_chunks(list(task.states)), _chunks(served), fillvalue=()):
            await self._store.commit(name, claim.epoch, commits.next(keys, results))
        self.states += len(task.states)
        await self._store.commit(name, claim.epoch, commits.next(outbox=pack(said) if said else b""))
        if said:
            await self._deliveries.produce(name, commits.sequence, said)
            await self._store.commit(name, claim.epoch, commits.next())


class _Commits:
    """The commits of one task, each with its whole place in the log and a part of its states."""

    def __init__(self, name: str, task: Task, taken: Mapping[Position, int], sequence: int) -> None:
        self.sequence = sequence
        inputs = {topic.name for topic in task.processor.inputs}
        self._task = task
        self._codec = state_codec(task.processor)
        self._offsets = {
            at: last for at, last in taken.items() if at.topic in inputs and at.partition == task.partition
        }
        self._meta = msgspec.msgpack.encode(Meta.of(task, {}))
        self._progress = msgspec.json.encode(Progress(task.reached, round(time() * 1000)))

    def next(self, keys: Sequence[str] = (), served: Sequence[Served] = (), outbox: bytes = b"") -> Commit:
        """Return the next commit."""
        self.sequence += 1
        self._task.changed = dict.fromkeys(keys)
        return Commit(
            sequence=self.sequence,
            states={key: self._codec.encode(self._task.states[key]) for key in keys},
            dues=self._task.changed_dues(),
            offsets=self._offsets,
            meta=self._meta,
            outbox=outbox,
            served=tuple(served),
            progress=self._progress,
        )


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
