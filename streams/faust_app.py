"""Engine 2: the Faust app. Each agent hands record batches to the lanes of its processor; lanes do the work."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from processors.base import AnyProcessor
from sinks.base import SinkBusy
from streams.transport import SCHEME, BatchConsumer, BatchSchema, register
from streams.worker import Worker

TABLE_SECONDS = 0.05
PROGRESS_SECONDS = 0.2
WATCH_SECONDS = 5.0
STREAM_BUFFER = 10_000
"""Batches an agent may have waiting: they go on to a lane at once, whose back-pressure is the one that counts."""


def faust_app(worker: Worker) -> faust.App:
    """Return the Faust app of a worker's pipeline: one agent for each processor, named after it. Opens the worker."""
    register()
    worker.open()
    BatchConsumer.progress = worker
    pipeline, settings = worker.pipeline, worker.settings
    app = faust.App(
        settings.group,
        datadir=_own_folder(settings.folder / "faust"),
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
        broker_session_timeout=settings.session_timeout / 1000,
        broker_heartbeat_interval=1.0,
        broker_request_timeout=max(40.0, 2 * settings.session_timeout / 1000),
        consumer_max_fetch_size=4 * 1024 * 1024,
        loghandlers=[],
    )
    for processor in pipeline.processors:
        _add_agent(app, worker, processor)
    _run_beside(app, worker)
    return app


def _add_agent(app: faust.App, worker: Worker, processor: AnyProcessor) -> None:
    inputs = app.topic(*(topic.name for topic in processor.inputs), schema=BatchSchema())

    @app.agent(inputs, name=processor.name)  # type: ignore[untyped-decorator]
    async def _agent(batches: Any) -> AsyncIterator[None]:
        async for batch in batches:
            await worker.take(processor, batch)
            yield


def _run_beside(app: faust.App, worker: Worker) -> None:
    """Start what is not an agent: tables, back-pressure and the watchdog; and stop lanes before the app stops."""

    @app.on_before_shutdown.connect  # type: ignore[untyped-decorator]
    async def _close(*_: Any, **__: Any) -> None:
        await worker.close()

    @app.on_partitions_revoked.connect  # type: ignore[untyped-decorator]
    async def _revoked(*_: Any, **__: Any) -> None:
        await worker.revoked()

    @app.on_partitions_assigned.connect  # type: ignore[untyped-decorator]
    async def _assigned(_: Any, assigned: frozenset[TP], **__: Any) -> None:
        if not assigned:
            worker.watchdog.settle()

    @app.timer(TABLE_SECONDS)  # type: ignore[untyped-decorator]
    async def _advance() -> None:
        while worker.tables.advance():
            await asyncio.sleep(0)
        worker.ease()

    @app.timer(PROGRESS_SECONDS)  # type: ignore[untyped-decorator]
    async def _look_elsewhere() -> None:
        with suppress(SinkBusy):
            worker.elsewhere = await worker.progress()

    @app.timer(WATCH_SECONDS)  # type: ignore[untyped-decorator]
    async def _watch() -> None:
        worker.watchdog.watch()


def _own_folder(path: Path) -> str:
    """Return a folder that is there: Faust makes one in the working directory otherwise, though it stays empty."""
    path.mkdir(parents=True, exist_ok=True)
    return str(path)
