"""Customers in Redis before anybody has come: states as a worker commits them, through the engine's own store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice

import orjson
from msgspec.structs import replace
from redis.asyncio import Redis

from benchmarks.payments import Payments
from benchmarks.transactions import FIRST_MS
from processors.base import AnyProcessor
from schemas.records import DAY, Record
from schemas.topics import SCORES, TRANSACTIONS
from sinks.checkpoint import RedisStore
from sinks.connection import connect
from sinks.store import Commit
from streams.assembly import fraud_pipeline
from streams.partitioning import partition_of
from streams.replay import replay
from streams.settings import Settings
from streams.state_codec import state_codec
from streams.task import Task

HISTORY = 10
CHUNK = 5_000
SECONDS = 30.0

Told = Callable[[str], None]
Keyed = Iterator[tuple[str, bytes, int | None]]
States = dict[str, tuple[bytes, int | None]]


def populated(redis: str, customers: int, waiting: int = 0, told: Told = lambda _: None) -> None:
    """Write the states of so many customers, who have paid ten times each, and of so many payments not judged yet.

    All customers have the same history, and so do all payments but for when they are due: spread over a week.
    """
    features, _, outcomes, _ = fraud_pipeline(Settings()).processors
    asyncio.run(_write(redis, features, _customers(features, customers), told))
    asyncio.run(_write(redis, outcomes, _waiting(outcomes, waiting), told))


def _customers(processor: AnyProcessor, count: int) -> Keyed:
    states: dict[str, object] = {}
    task = Task(processor, states, {})
    for due in Payments(customers=1, gap_ms=3 * DAY).take(HISTORY):
        payment = orjson.loads(due.transaction[1])
        # An id of its own: a payment of the same id would count as this one, said twice.
        payment |= {"event_id": f"history-{payment['event_id']}", "event_time": payment["event_time"] - 30 * DAY}
        task.step(Record(TRANSACTIONS, TRANSACTIONS.decode(orjson.dumps(payment)), payment["event_id"]))
    state = state_codec(processor).encode(states["c0"])
    for number in range(count):
        yield f"c{number}", state, None


def _waiting(processor: AnyProcessor, count: int) -> Keyed:
    payment = Record(TRANSACTIONS, TRANSACTIONS.decode(Payments().take(1)[0].transaction[1]), "0")
    said = replay(fraud_pipeline(Settings()), [payment])
    states: dict[str, object] = {}
    for record in said:
        if record.topic is SCORES:
            Task(processor, states, {}).step(record)
    encode, state = state_codec(processor).encode, states["0"]
    for number in range(count):
        due = FIRST_MS + 7 * DAY + round(number * 7 * DAY / count)
        yield f"waiting-{number}", encode(replace(state, due=due)), due  # type: ignore[type-var]


async def _write(redis: str, processor: AnyProcessor, keyed: Keyed, told: Told) -> None:
    client = connect(redis, SECONDS)
    tasks = [_Filling(client, f"{processor.name}/{partition}") for partition in range(processor.inputs[0].partitions)]
    written = 0
    while chunk := list(islice(keyed, CHUNK)):
        shares: list[States] = [{} for _ in tasks]
        for key, state, due in chunk:
            shares[partition_of(key, len(tasks))][key] = state, due
        for task, share in zip(tasks, shares, strict=True):
            await task.write(share)
        written += len(chunk)
        told(f"{written:,} states of {processor.name} in Redis")
    await client.aclose()


class _Filling:
    """Commits states of one task, batch after batch."""

    def __init__(self, client: Redis, task: str) -> None:
        self._store = RedisStore(client)
        self._task = task
        self._epoch = self._sequence = 0

    async def write(self, states: States) -> None:
        if not self._epoch:
            claim = await self._store.claim(self._task)
            self._epoch, self._sequence = claim.epoch, claim.sequence
        self._sequence += 1
        dues = {key: due for key, (_, due) in states.items() if due is not None}
        blobs: dict[str, bytes | None] = {key: blob for key, (blob, _) in states.items()}
        await self._store.commit(self._task, self._epoch, Commit(self._sequence, blobs, dues, {}, b"", b""))
