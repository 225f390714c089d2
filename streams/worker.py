"""A worker: the lanes of the partitions that one process was assigned, and all that they share."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from faust.types import TP

from processors.base import AnyProcessor
from schemas.privacy import Tokeniser
from sinks.base import Progress, SinkBusy
from sinks.store import Position, Store
from streams.deliveries import Deliveries
from streams.fetching import RecordBatch
from streams.inbound import Edge
from streams.inflow import Inflow
from streams.lane import Lane
from streams.pipeline import Pipeline
from streams.sealing import Seal
from streams.settings import Settings
from streams.surroundings import Surroundings
from streams.table_reader import TableReader
from streams.transport import BatchConsumer
from streams.watchdog import BROKEN, Breaker, Watchdog, end, failpoint

log = structlog.get_logger()

AskProgress = Callable[[], Awaitable[Mapping[str, Progress]]]

DRAIN_SECONDS = 5.0
TAKE_OVER_SECONDS = 5.0


class Worker:
    """What the agents of one process share: its lanes, its producer, its tables, and its sense of progress.

    `progress` tells how far each processor has come over all workers.

    It implements the transport's Progress: partitions are claimed in the store at every assignment, and what may be
    committed to Kafka is what the checkpoint has.
    """

    def __init__(self, pipeline: Pipeline, settings: Settings, store: Store, progress: AskProgress) -> None:
        self.progress = progress
        self.pipeline = pipeline
        self.settings = settings
        self.batched = frozenset(topic.name for p in pipeline.processors for topic in p.inputs)
        self.lanes: dict[tuple[str, int], Lane] = {}
        self.elsewhere: Mapping[str, Progress] = {}
        self.inflow = Inflow(most=4 * settings.batch, few=settings.batch)
        self.watchdog = Watchdog(self.lanes, self.inflow, settings.stalled_after)
        self._topics = {topic.name: topic for p in pipeline.processors for topic in p.inputs}
        self._store = store
        self._edge = Edge(Tokeniser({"1": settings.key("tokens")}), Seal(settings.key("dead-letters")))
        self._breaker = Breaker()
        self._failpoint = failpoint(os.environ.get("HEADRACE_FAILPOINT", ""))
        self._stepping = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._commits: dict[tuple[str, int], int] = {}
        self._taking_over: asyncio.Task[None] | None = None
        self.tables: TableReader
        self.deliveries: Deliveries

    def open(self) -> None:
        """Connect the producer and read the tables to their end."""
        self.deliveries = Deliveries(self.settings.kafka)
        self.tables = TableReader(self.settings.kafka, self.pipeline.tables, _refuse)
        self.tables.read_all()

    async def close(self) -> None:
        """Let every lane finish its batch, then disconnect."""
        self._end_taking_over()
        await self._stop_lanes(None)
        self.deliveries.close()
        self.tables.close()

    async def revoked(self) -> None:
        """Let every lane finish its batch, since another worker may be about to take its task over."""
        self._end_taking_over()
        self.watchdog.expect_assignment()
        self.inflow.stop()
        await self._stop_lanes(DRAIN_SECONDS)

    async def assigned(self, consumer: BatchConsumer, partitions: frozenset[TP]) -> None:
        """Take over the lanes of the assigned partitions.

        Returns before that is done when the store is away for long: Faust gives up on who lets it wait.
        """
        self._end_taking_over()
        self._taking_over = asyncio.create_task(self._guarded("assignment", self._take_over(consumer, partitions)))
        await asyncio.wait({self._taking_over}, timeout=TAKE_OVER_SECONDS)

    def _end_taking_over(self) -> None:
        if self._taking_over is not None:
            self._taking_over.cancel()

    async def _take_over(self, consumer: BatchConsumer, partitions: frozenset[TP]) -> None:
        self.inflow.stop()
        await self._stop_lanes(None)
        self._commits |= {at: lane.sequence for at, lane in self.lanes.items()}
        self.lanes.clear()
        lanes = [
            self._lane(processor, number)
            for processor in self.pipeline.processors
            for number in sorted({tp.partition for tp in partitions if tp.topic in _names(processor)})
        ]
        await asyncio.gather(*map(self._claim, lanes))
        readers: dict[TP, list[Lane]] = {}
        for lane in lanes:
            for topic in lane.processor.inputs:
                readers.setdefault(TP(topic.name, lane.partition), []).append(lane)
        begin = {tp: _begin(tp, reading) for tp, reading in readers.items()}
        await self.inflow.begin(consumer, begin, {tp: [lane.name for lane in of] for tp, of in readers.items()})
        self.lanes.update({(lane.processor.name, lane.partition): lane for lane in lanes})
        self._tasks = {asyncio.create_task(self._guarded(lane.name, lane.run()), name=lane.name) for lane in lanes}
        self.watchdog.settle()
        log.info("assigned", lanes=sorted(lane.name for lane in lanes))

    def _lane(self, processor: AnyProcessor, number: int) -> Lane:
        known = self._commits.get((processor.name, number), 0)
        return Lane(processor, number, self._surroundings(processor, number), known)

    async def _claim(self, lane: Lane) -> None:
        while True:
            try:
                await lane.claim()
            except SinkBusy as busy:
                log.warning("store away", lane=lane.name, why=str(busy))
                self.watchdog.expect_assignment()
                await asyncio.sleep(busy.retry_after)
            else:
                return

    async def _stop_lanes(self, seconds: float | None) -> None:
        for lane in self.lanes.values():
            lane.stop()
        if self._tasks:
            # Not gather: whoever is cancelled while waiting here must not cancel a batch at hand.
            _, self._tasks = await asyncio.wait(self._tasks, timeout=seconds)
        if not self._tasks:
            await asyncio.gather(*(lane.settle() for lane in self.lanes.values()))

    async def _guarded(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            # Raising here would let Faust acknowledge and lose the batch (faust-streaming #527); the checkpoint
            # has all that was done, so ending the process loses nothing.
            log.critical("worker broke", at=name, exc_info=error)
            end(BROKEN)

    def committable(self, partition: TP) -> int | None:
        """Return one more than the last offset that every reader's checkpoint has; None before the first."""
        at = [lane.offsets.get(Position(*partition)) for lane in self._readers(partition)]
        known = [offset for offset in at if offset is not None]
        return min(known) + 1 if known and len(known) == len(at) else None

    async def take(self, processor: AnyProcessor, batch: RecordBatch) -> None:
        """Hand a batch to its lane."""
        lane = self.lanes.get((processor.name, batch.partition))
        if lane is None or not (raws := await self.inflow.take(lane.name, batch)):
            return
        items = self._edge.admit(self._topics[batch.topic], batch.partition, raws, lane.suspicion.deadly(batch.topic))
        lane.put(batch.topic, items)
        self._breaker.count(len(items), sum(item.bad for item in items))
        self.inflow.press(TP(batch.topic, batch.partition), lane.inputs.size(batch.topic))

    def ease(self) -> None:
        """Fetch again what lanes have caught up with."""
        self.inflow.ease(lambda tp: max((lane.inputs.size(tp.topic) for lane in self._readers(tp)), default=0))

    def reached(self, processor: str) -> int | None:
        """Return the newest event time a processor has come to, here or in another worker; None when unknown."""
        here = [lane.reached for lane in self.lanes.values() if lane.processor.name == processor]
        there = self.elsewhere.get(processor)
        return max([*here, *([] if there is None else [there.event_time])], default=None)

    def stalled(self) -> str | None:
        """Return what has stalled, or None; see Watchdog. Called by other threads too."""
        return self.watchdog.stalled()

    def _readers(self, tp: TP) -> list[Lane]:
        return [lane for (_, number), lane in self.lanes.items() if number == tp.partition and lane.reads(tp.topic)]

    def _surroundings(self, processor: AnyProcessor, partition: int) -> Surroundings:
        name = f"{processor.name}/{partition}"
        return Surroundings(
            store=self._store,
            deliveries=self.deliveries,
            tables=self.tables.contents.tables,
            table_positions=self.tables.contents.snapshot,
            at_end=lambda topic, number: self.inflow.at_end(name, TP(topic, number)),
            reached=self.reached,
            pipeline=self.pipeline,
            batch=self.settings.batch,
            skew=self.settings.skew,
            cache=self.settings.cache,
            linger=self.settings.linger / 1000 if processor.name in self.pipeline.unhurried else 0.0,
            failpoint=self._failpoint,
            stepping=self._stepping,
        )


def _begin(tp: TP, readers: list[Lane]) -> int | None:
    """Return the first offset that some reader's checkpoint lacks; None for the log's start."""
    taken = [lane.offsets.get(Position(*tp)) for lane in readers]
    known = [offset for offset in taken if offset is not None]
    return min(known) + 1 if len(known) == len(taken) else None


def _names(processor: AnyProcessor) -> set[str]:
    return {topic.name for topic in processor.inputs}


def _refuse(key: str, why: Exception) -> None:
    log.error("table entry refused, the last good one stays", key=key, why=str(why))
