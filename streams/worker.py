"""Engine 2: the Faust app. Each agent hands record batches to the lanes of its processor; lanes do the work."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from time import time
from typing import Any

import faust
import structlog
from faust.types import TP

from processors.base import AnyProcessor
from schemas.privacy import Tokeniser
from sinks.base import Progress, SinkBusy
from sinks.store import Position, Store
from streams.deliveries import Deliveries
from streams.inbound import Edge
from streams.lane import Lane, Surroundings
from streams.pipeline import Pipeline
from streams.sealing import Seal
from streams.settings import Settings
from streams.table_reader import TableReader, snapshot
from streams.transport import SCHEME, BatchConsumer, BatchSchema, RecordBatch, register

log = structlog.get_logger()

AskProgress = Callable[[], Awaitable[Mapping[str, Progress]]]

STALLED = 70
POISONED = 65
BROKEN = 71
BREAKER_WINDOW = 1_000
BREAKER_SHARE = 0.95
TABLE_SECONDS = 0.05
STREAM_BUFFER = 10_000
"""Batches an agent may have waiting: they go on to a lane at once, whose back-pressure is the one that counts."""

PROGRESS_SECONDS = 0.2


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
        self.assignment = 0
        self.batched = frozenset(topic.name for p in pipeline.processors for topic in p.inputs)
        self.lanes: dict[tuple[str, int], Lane] = {}
        self.consumer: BatchConsumer | None = None
        self.elsewhere: Mapping[str, Progress] = {}
        self.bad_lately = [0, 0]
        self._topics = {topic.name: topic for p in pipeline.processors for topic in p.inputs}
        self._store = store
        self._edge = Edge(Tokeniser({"1": settings.key("tokens")}), Seal(settings.key("dead-letters")))
        self._tasks: dict[Lane, asyncio.Task[None]] = {}
        self._read: dict[TP, int] = {}
        self._gaps: dict[TP, tuple[int, int]] = {}
        self._paused: set[TP] = set()
        self.tables: TableReader
        self.deliveries: Deliveries

    def open(self) -> None:
        """Connect the producer and read the tables to their end."""
        self.deliveries = Deliveries(self.settings.kafka)
        self.tables = TableReader(self.settings.kafka, self.pipeline.tables, _refuse)
        self.tables.read_all()

    async def close(self) -> None:
        """Let every lane finish its batch, then disconnect."""
        await self._drain()
        self.deliveries.close()
        self.tables.close()

    async def assigned(self, consumer: BatchConsumer, partitions: frozenset[TP]) -> Mapping[TP, int | None]:
        """Take over the lanes of the assigned partitions; return where to begin in each."""
        await self._drain()
        self.consumer = consumer
        self.assignment += 1
        begin: dict[TP, int | None] = {}
        for processor in self.pipeline.processors:
            names = {topic.name for topic in processor.inputs}
            for partition in sorted({tp.partition for tp in partitions if tp.topic in names}):
                lane = self.lanes[processor.name, partition] = Lane(
                    processor, partition, self._surroundings(), self.pipeline.ring(processor)
                )
                taken = await self._claimed(lane)
                for name in names:
                    at = taken.get(Position(name, partition))
                    begin[TP(name, partition)] = None if at is None else at + 1
        self._read = {tp: offset or 0 for tp, offset in begin.items()}
        self._gaps.clear()
        self._paused.clear()
        for lane in self.lanes.values():
            self._tasks[lane] = asyncio.create_task(self._guarded(lane), name=lane.name)
        log.info("assigned", assignment=self.assignment, lanes=sorted(lane.name for lane in self.lanes.values()))
        return begin

    async def _claimed(self, lane: Lane) -> Mapping[Position, int]:
        while True:
            try:
                return await lane.claim()
            except SinkBusy as busy:
                log.warning("store away", lane=lane.name, why=str(busy))
                await asyncio.sleep(busy.retry_after)

    async def _drain(self) -> None:
        for lane in self.lanes.values():
            lane.stop()
        await asyncio.gather(*self._tasks.values())
        self.lanes.clear()
        self._tasks.clear()

    async def _guarded(self, lane: Lane) -> None:
        try:
            await lane.run()
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            # Raising here would let Faust acknowledge and lose the batch (faust-streaming #527); the checkpoint
            # has all that was done, so ending the process loses nothing.
            log.critical("lane broke", lane=lane.name, exc_info=error)
            end(BROKEN)

    def committable(self, partition: TP) -> int | None:
        """Return one more than the last offset that every reader's checkpoint has; None before the first."""
        at = [
            lane.offsets.get(Position(partition.topic, partition.partition))
            for (_, number), lane in self.lanes.items()
            if number == partition.partition and lane.reads(partition.topic)
        ]
        known = [offset for offset in at if offset is not None]
        return min(known) + 1 if known and len(known) == len(at) else None

    def take(self, processor: AnyProcessor, batch: RecordBatch) -> None:
        """Hand a batch to its lane, unless it was fetched under an earlier assignment."""
        lane = self.lanes.get((processor.name, batch.partition))
        if lane is None or batch.assignment != self.assignment or self._skips(batch):
            return
        items = self._edge.admit(self._topics[batch.topic], batch.partition, batch.records)
        tp = TP(batch.topic, batch.partition)
        self._read[tp] = batch.records[-1].offset + 1
        lane.put(batch.topic, items)
        self._break_if_poisoned(len(items), sum(item.bad for item in items))
        self._press(tp, lane)

    def _skips(self, batch: RecordBatch) -> bool:
        """Return whether a batch leaves out offsets for the first time; if so, read them again.

        A log has gaps where it was compacted or a transaction ended, so a gap that comes back is taken as one.
        """
        tp = TP(batch.topic, batch.partition)
        gap = (self._read.get(tp, 0), batch.records[0].offset)
        if gap[0] >= gap[1] or self._gaps.get(tp) == gap:
            return False
        log.warning("gap, reading again", topic=tp.topic, partition=tp.partition, after=gap[0], before=gap[1])
        self._gaps[tp] = gap
        if self.consumer is not None:
            self.consumer.read_again(tp, gap[0])
        return True

    def _break_if_poisoned(self, count: int, bad: int) -> None:
        self.bad_lately = [self.bad_lately[0] + count, self.bad_lately[1] + bad]
        if self.bad_lately[0] < BREAKER_WINDOW:
            return
        if self.bad_lately[1] >= BREAKER_SHARE * self.bad_lately[0]:
            log.critical("nearly everything is bad", records=self.bad_lately[0], bad=self.bad_lately[1])
            end(POISONED)
        self.bad_lately = [0, 0]

    def _press(self, tp: TP, lane: Lane) -> None:
        """Stop fetching what a lane cannot keep up with.

        Pausing would be the word for it, but Faust drops what it had fetched of a partition that is paused meanwhile.
        """
        if lane.inputs.size(tp.topic) > 4 * self.settings.batch and self.consumer is not None:
            self.consumer.on_buffer_full(tp)
            self._paused.add(tp)

    def ease(self) -> None:
        """Fetch again what lanes have caught up with."""
        for tp in list(self._paused):
            readers = [lane for (_, number), lane in self.lanes.items() if number == tp.partition]
            waiting = max((lane.inputs.size(tp.topic) for lane in readers if lane.reads(tp.topic)), default=0)
            if waiting < self.settings.batch and self.consumer is not None:
                self._paused.discard(tp)
                self.consumer.on_buffer_drop(tp)

    def at_end(self, topic: str, partition: int) -> bool:
        """Return whether all of a partition that the broker told us of has been fetched."""
        if self.consumer is None:
            return False
        tp = TP(topic, partition)
        high = self.consumer.highwater(tp)
        return high is not None and self._read.get(tp, 0) >= high

    def reached(self, processor: str) -> int | None:
        """Return the newest event time a processor has come to, here or in another worker; None when unknown."""
        here = [lane.reached for lane in self.lanes.values() if lane.processor.name == processor]
        there = self.elsewhere.get(processor)
        return max([*here, *([] if there is None else [there.event_time])], default=None)

    def stalled(self) -> str | None:
        """Return the name of a lane that has work and has done none of it for `stalled_after`."""
        limit = time() - self.settings.stalled_after / 1000
        lanes = list(self.lanes.values())  # the metrics' thread asks too
        return next((lane.name for lane in lanes if len(lane.inputs) and lane.last_progress < limit), None)

    def described(self, name: str) -> dict[str, Any]:
        """Return what a lane waits for, for whoever has to find out why it stalled."""
        lane = next(lane for lane in self.lanes.values() if lane.name == name)
        partitions = [TP(topic.name, lane.partition) for topic in lane.processor.inputs]
        return {
            "waiting": {tp.topic: lane.inputs.size(tp.topic) for tp in partitions},
            "read": {tp.topic: self._read.get(tp) for tp in partitions},
            "log_end": {tp.topic: self.consumer and self.consumer.highwater(tp) for tp in partitions},
            "held_back": sorted(tp.topic for tp in self._paused if tp in partitions),
            "counts": lane.counts,
        }

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            store=self._store,
            deliveries=self.deliveries,
            tables=self.tables.tables,
            table_positions=lambda: snapshot(self.tables.positions),
            at_end=self.at_end,
            reached=self.reached,
            batch=self.settings.batch,
            skew=self.settings.skew,
            cache=self.settings.cache,
            failpoint=failpoint(os.environ.get("HEADRACE_FAILPOINT", "")),
        )


def faust_app(worker: Worker) -> faust.App:
    """Return the Faust app of a worker's pipeline: one agent for each processor, named after it. Opens the worker."""
    register()
    worker.open()
    BatchConsumer.progress = worker
    pipeline, settings = worker.pipeline, worker.settings
    app = faust.App(
        settings.group,
        broker=f"{SCHEME}://{settings.kafka}",
        store="memory://",
        web_enabled=False,
        table_standby_replicas=0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_buffer_maxsize=STREAM_BUFFER,
        stream_wait_empty=False,
        broker_max_poll_records=8_000,
        broker_commit_interval=1.0,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=1.0,
        broker_request_timeout=40.0,
        consumer_max_fetch_size=4 * 1024 * 1024,
        loghandlers=[],
    )
    for processor in pipeline.processors:
        app.agent(app.topic(*(t.name for t in processor.inputs), schema=BatchSchema()), name=processor.name)(
            _agent(worker, processor)
        )
    _run_beside(app, worker)
    return app


def _agent(worker: Worker, processor: AnyProcessor) -> Callable[[Any], AsyncIterator[None]]:
    async def agent(batches: Any) -> AsyncIterator[None]:
        async for batch in batches:
            worker.take(processor, batch)
            yield

    return agent


def _run_beside(app: faust.App, worker: Worker) -> None:
    """Start what is not an agent: tables, back-pressure and the watchdog; and stop lanes before the app stops."""

    @app.on_before_shutdown.connect  # type: ignore[untyped-decorator]
    async def _close(*_: Any, **__: Any) -> None:
        await worker.close()

    @app.timer(TABLE_SECONDS)  # type: ignore[untyped-decorator]
    async def _advance() -> None:
        while worker.tables.advance():
            await asyncio.sleep(0)
        worker.ease()

    @app.timer(PROGRESS_SECONDS)  # type: ignore[untyped-decorator]
    async def _look_elsewhere() -> None:
        with suppress(SinkBusy):
            worker.elsewhere = await worker.progress()

    @app.timer(5.0)  # type: ignore[untyped-decorator]
    async def _watch() -> None:
        if (lane := worker.stalled()) is not None:
            log.critical("stalled", lane=lane, seconds=worker.settings.stalled_after / 1000, **worker.described(lane))
            end(STALLED)


def failpoint(name: str) -> Callable[[str], None]:
    """Return what dies, without a word, when the protocol reaches the named step; for fault tests."""

    def reached(step: str) -> None:
        if step == name:
            end(137)

    return reached


def end(code: int) -> None:
    """End the process at once: nothing is flushed, nothing acknowledged, the checkpoint stands."""
    os._exit(code)


def _refuse(key: str, why: Exception) -> None:
    log.error("table entry refused, the last good one stays", key=key, why=str(why))
