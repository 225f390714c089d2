"""The lanes of a worker are those of the partitions that it was assigned last, and of none that were revoked."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

from faust.types import TP

from sinks.base import Progress
from sinks.memory_store import MemoryStore
from sinks.store import Claim
from streams.deliveries import Deliveries
from streams.settings import Settings
from streams.table_contents import TableContents
from streams.table_reader import TableReader
from streams.transport import BatchConsumer
from streams.worker import Worker
from tests.contracts.pipelines import PIPELINE, VISITS
from tests.streams.test_inflow import Broker as Consumer
from tests.streams.test_lane import Broker


class Slow(MemoryStore):
    """A store that claims nothing until it is `open`."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.open = asyncio.Event(), asyncio.Event()

    async def claim(self, task: str) -> Claim:
        self.asked.set()
        await self.open.wait()
        return await super().claim(task)


async def nobody() -> Mapping[str, Progress]:
    return {}


def worker_on(store: MemoryStore) -> Worker:
    worker = Worker(PIPELINE, Settings(secret="s" * 32, stalled_after=0), store, nobody)
    worker.deliveries = cast("Deliveries", Broker())
    contents = TableContents(PIPELINE.tables)
    worker.tables = cast("TableReader", SimpleNamespace(contents=contents))
    return worker


def partitions(*numbers: int) -> frozenset[TP]:
    return frozenset(TP(VISITS.name, number) for number in numbers)


async def settled(worker: Worker) -> list[str]:
    """Return the names of a worker's lanes once all that can be done is done."""
    for _ in range(50):
        await asyncio.sleep(0)
    return [lane.name for lane in worker.lanes.values()]


CONSUMER = cast("BatchConsumer", Consumer(end=0))


def test_a_worker_has_the_lanes_of_what_it_was_assigned_last() -> None:
    async def scene() -> list[list[str]]:
        worker = worker_on(MemoryStore())
        names = []
        for numbers in ((0, 1), (1, 2)):
            await worker.assigned(CONSUMER, partitions(*numbers))
            names.append(await settled(worker))
            await worker.revoked()
        return names

    assert asyncio.run(scene()) == [["counter/0", "counter/1"], ["counter/1", "counter/2"]]


def test_what_is_revoked_while_it_is_taken_over_is_not_taken_over() -> None:
    async def scene() -> tuple[list[str], str | None]:
        store = Slow()
        worker = worker_on(store)
        assigned = asyncio.create_task(worker.assigned(CONSUMER, partitions(0, 1)))
        await store.asked.wait()
        await worker.revoked()
        store.open.set()
        await assigned
        return await settled(worker), worker.stalled()

    assert asyncio.run(scene()) == ([], "assignment")
