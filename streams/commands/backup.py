"""`headrace backup`: what Redis and ClickHouse hold, in files that `headrace restore` brings back."""

import asyncio
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from time import perf_counter
from typing import Annotated

import msgspec
import typer
from clickhouse_connect.driver.exceptions import DatabaseError
from confluent_kafka import KafkaException
from rich.console import Console

from schemas.errors import BadMessage
from sinks import clickhouse_copy
from sinks.analytics import INPUTS, client_for
from sinks.base import SinkBusy
from sinks.connection import connect
from sinks.serving import ServingSink
from sinks.store import Fenced
from streams.assembly import pipeline
from streams.backup import Moving, copy_clickhouse, copy_redis, copy_tables, finish
from streams.backup_files import BadBackup, ClickHousePart, Manifest, Mark, RedisPart, Tell, refuse_used
from streams.commands.screen import spinning, told_plainly
from streams.decision_log import Unreplayable
from streams.handover import WorkersRunning, refuse_running_workers
from streams.kafka_log import KafkaLog
from streams.running import local
from streams.settings import PIPELINES, Settings
from streams.topic_admin import KafkaAway, committed_offsets, list_topics

REDIS_SECONDS = 30.0
REFUSALS = (
    BadBackup,
    BadMessage,
    DatabaseError,
    Fenced,
    KafkaAway,
    KafkaException,
    Moving,
    OSError,
    SinkBusy,
    Unreplayable,
    WorkersRunning,
)


class Store(StrEnum):
    """A store by its name."""

    REDIS = "redis"
    CLICKHOUSE = "clickhouse"


Folder = Annotated[Path, typer.Argument(help="A folder for this backup alone.")]
Only = Annotated[Store | None, typer.Option(help="Leave the other store out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class Summary(msgspec.Struct):
    """What a backup holds."""

    folder: str
    made_at: int
    tasks: int
    keys: int
    tables: int
    rows: int
    bytes: int
    seconds: float


def backup_command(
    folder: Folder,
    only: Only = None,
    online: Annotated[
        bool, typer.Option("--online", help="While workers run: each partition rests for some seconds in turn.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write what Redis and ClickHouse hold to files, with a manifest of their checksums.

    Every task is copied as of one of its commits. It is as secret as the stores: keep it where they could be.
    """
    started, settings = perf_counter(), local(Settings())
    with told_plainly(*REFUSALS), spinning("looking at the stores") as tell:
        refuse_used(folder)
        if not online and only is not Store.CLICKHOUSE:
            refuse_workers(settings)
        manifest = _backed_up(settings, folder, only, online, tell)
    summary = summary_of(folder, manifest, perf_counter() - started)
    if as_json:
        typer.echo(msgspec.json.encode(summary))
        return
    console = Console()
    console.print(f"[green]✓[/] {summary.tasks} tasks, {summary.keys:,} keys of Redis", highlight=False)
    console.print(f"[green]✓[/] {summary.tables} tables, {summary.rows:,} rows of ClickHouse", highlight=False)
    console.print(f"  {summary.bytes:,} bytes in {folder}, in {summary.seconds:.1f} s", highlight=False, soft_wrap=True)


def refuse_workers(settings: Settings) -> None:
    """Raise WorkersRunning while workers of any of the settings' groups run, and KafkaAway when no broker answers."""
    list_topics(settings.kafka)
    for group in {settings.group, *(settings.group_of((name,)) for name in PIPELINES)}:
        refuse_running_workers(settings.kafka, group)


def summary_of(folder: Path, manifest: Manifest, seconds: float) -> Summary:
    """Return what a backup's manifest says that it holds."""
    files = manifest.files
    return Summary(
        folder=str(folder),
        made_at=manifest.made_at,
        tasks=len(manifest.redis.tasks) if manifest.redis else 0,
        keys=sum(mark.rows for name, mark in files.items() if name.startswith("redis/")),
        tables=len(manifest.clickhouse.tables) if manifest.clickhouse else 0,
        rows=sum(mark.rows for name, mark in files.items() if name.startswith("clickhouse/")),
        bytes=sum(mark.bytes for mark in files.values()),
        seconds=seconds,
    )


def _backed_up(settings: Settings, folder: Path, only: Store | None, online: bool, tell: Tell) -> Manifest:
    redis = clickhouse = None
    files: dict[str, Mark] = {}
    if only is not Store.CLICKHOUSE:
        redis, copied = asyncio.run(_redis(settings, folder, online, tell))
        files |= copied
    if only is not Store.REDIS:
        clickhouse, copied = _clickhouse(settings, folder, tell)
        files |= copied
    return finish(folder, files, redis, clickhouse)


async def _redis(settings: Settings, folder: Path, online: bool, tell: Tell) -> tuple[RedisPart, dict[str, Mark]]:
    # Before the copy: what is said meanwhile is served once more when it is brought back, which changes nothing.
    with closing(KafkaLog(settings.kafka)) as log:
        ends = {topic.name: dict(log.ends(topic.name)) for topic in ServingSink.inputs}
        tables = copy_tables(log, pipeline(settings).tables, folder)
    async with connect(settings.redis, REDIS_SECONDS) as client:
        places, files = await copy_redis(client, folder, online, tell)
        version = str((await client.info("server"))["redis_version"])
    return RedisPart(version, places, ends), files | tables


def _clickhouse(settings: Settings, folder: Path, tell: Tell) -> tuple[ClickHousePart, dict[str, Mark]]:
    group = f"{settings.group}-analytics"
    counts = {state.name: state.found or 0 for state in list_topics(settings.kafka, INPUTS)}
    offsets = [(*place, offset) for place, offset in committed_offsets(settings.kafka, group, counts).items()]
    client = client_for(settings.clickhouse)
    columns, files = copy_clickhouse(client, folder, tell)
    return ClickHousePart(clickhouse_copy.version(client), columns, group, offsets), files
