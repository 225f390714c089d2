"""Where an in-process run leaves its results: Redis for readers, ClickHouse for analysts."""

import asyncio
from collections.abc import Mapping, Sequence
from time import time_ns

from redis.asyncio import Redis

from schemas.records import AnyRecord
from sinks.base import Encoded, Progress, Sink, SinkBusy
from sinks.connection import busy_when_away
from sinks.progress import PROGRESS, progress_field
from sinks.serving import Served, apply, serve

ANALYTICS_BATCH = 5_000


class ResultStores:
    """Writes a run's records as they come: to Redis at once, to ClickHouse in the background and in larger batches."""

    def __init__(self, redis: Redis, analytics: Sink) -> None:
        self._redis = redis
        self._analytics = analytics
        self._topics = {topic.name for topic in analytics.inputs}
        self._waiting: list[Encoded] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, records: Sequence[AnyRecord], reached: Mapping[str, int]) -> None:
        """Serve the records, and tell readers which event time each processor has reached. Raises SinkBusy."""
        served: list[Served] = []
        for record in records:
            value = record.topic.encode(record.message)
            served += serve(record, value)
            if record.topic.name in self._topics:
                self._waiting.append(Encoded(record.topic.name, value))
        now = time_ns() // 1_000_000
        progress = [progress_field(name, 0, Progress(at, now)) for name, at in reached.items()]
        with busy_when_away():
            pipeline = self._redis.pipeline(transaction=False)
            apply(pipeline, served)
            for field, value in progress:
                pipeline.hset(PROGRESS, field, value)
            await pipeline.execute()
        await self._pass_on()

    async def settle(self) -> None:
        """Return once everything rests in ClickHouse too. Raises SinkBusy."""
        while self._waiting or self._writing:
            if self._writing:
                await self._writing
                self._writing = None
            self._write()

    async def _pass_on(self) -> None:
        await asyncio.sleep(0)  # lets a write that runs beside the engine reach its next table
        if self._writing and self._writing.done():
            await self._writing
            self._writing = None
        if not self._writing and len(self._waiting) >= ANALYTICS_BATCH:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            batch, self._waiting = self._waiting, []
            self._writing = asyncio.create_task(patiently(self._analytics, batch))


async def patiently(sink: Sink, batch: Sequence[Encoded], attempts: int = 5) -> None:
    """Write a batch, coming back while the store is away. Raises SinkBusy after the last of `attempts`."""
    for _ in range(attempts - 1):
        try:
            await sink.write(batch)
        except SinkBusy as busy:
            await asyncio.sleep(busy.retry_after)
        else:
            return
    await sink.write(batch)
