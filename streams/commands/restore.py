"""`headrace restore` and `headrace rebuild`: state brought back, and stepped by the journal to where workers were."""

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Annotated

import msgspec
import typer
from redis.asyncio import Redis
from rich.console import Console

from processors.base import AnyProcessor
from schemas.privacy import Tokeniser
from sinks import clickhouse_copy, redis_copy
from sinks.analytics import client_for, create_schema
from sinks.connection import connect
from sinks.earlier import mark_finished, mark_unfinished
from streams.assembly import pipeline
from streams.backup import restore_clickhouse, restore_redis
from streams.backup_files import BadBackup, Manifest, Tell, task_file, verified
from streams.collector import spare_keyed_state
from streams.commands.backup import REDIS_SECONDS, REFUSALS, AsJson, Only, Store, refuse_workers
from streams.commands.screen import spinning, told_plainly
from streams.group_offsets import move_group
from streams.inbound import Edge
from streams.journal import NOTHING, Begin
from streams.kafka_log import KafkaLog
from streams.roll_forward import Begins, Offsets, Rolled, from_nothing, rolled_forward, serve_again, write_rolled
from streams.running import local
from streams.sealing import Seal
from streams.settings import Settings
from streams.snapshots import begin_of


class Restored(msgspec.Struct):
    """What was brought back: keys and rows of the backup, and commits and results that the log has since."""

    keys: int = 0
    rows: int = 0
    tasks: int = 0
    commits: int = 0
    results: int = 0
    moved: str = ""
    seconds: float = 0.0


def restore_command(
    folder: Annotated[Path, typer.Argument(help="A backup.")],
    only: Only = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what the stores hold.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back, and step every task by the journal from there to where it was last.

    Run it while no worker and no sink does. Then start them: workers go on where they were, and the sink reads on from
    where it was when the backup was made, so that ClickHouse gets what it lacks.
    """
    spare_keyed_state()
    started, settings = perf_counter(), local(Settings())
    with told_plainly(*REFUSALS), spinning("verifying the backup") as tell:
        manifest, done = verified(folder, tell), Restored()
        refuse_workers(settings)
        if only is not Store.CLICKHOUSE and manifest.redis is not None:
            asyncio.run(_restore_redis(settings, folder, manifest, force, tell, done))
        if only is not Store.REDIS and manifest.clickhouse is not None:
            _restore_clickhouse(settings, folder, manifest, force, tell, done)
    done.seconds = perf_counter() - started
    _print(done, as_json)


def rebuild_command(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Build the state of all workers anew, by stepping the whole journal, in the place of what Redis holds.

    Run it while no worker does. It needs all that workers have ever read to be in Kafka still.
    """
    settings = local(Settings())
    if not yes:
        typer.confirm(f"Replace everything of headrace in {settings.redis}?", abort=True, err=True)
    spare_keyed_state()
    started, done = perf_counter(), Restored()
    with told_plainly(*REFUSALS), spinning("looking at the workers") as tell:
        refuse_workers(settings)
        asyncio.run(_rebuild(settings, tell, done))
    done.seconds = perf_counter() - started
    _print(done, as_json)


async def _restore_redis(
    settings: Settings, folder: Path, manifest: Manifest, force: bool, tell: Tell, done: Restored
) -> None:
    def begins(processor: AnyProcessor, task: str) -> tuple[Begin, Offsets]:
        return begin_of(folder, processor, task) if (folder / task_file(task)).exists() else (NOTHING, {})

    ends = {} if manifest.redis is None else manifest.redis.ends
    with closing(KafkaLog(settings.kafka)) as log:
        async with connect(settings.redis, REDIS_SECONDS) as client:
            if not force and not await redis_copy.is_empty(client):
                raise BadBackup(f"{settings.redis} holds something of headrace already: --force replaces it")
            rolled = _rolled(settings, log, begins, tell)
            done.keys = await restore_redis(client, folder, manifest, tell)
            await _write(client, rolled, tell, done)
            done.results = await serve_again(client, log, ends, tell)
            await mark_finished(client)


async def _rebuild(settings: Settings, tell: Tell, done: Restored) -> None:
    with closing(KafkaLog(settings.kafka)) as log:
        async with connect(settings.redis, REDIS_SECONDS) as client:
            rolled = _rolled(settings, log, from_nothing, tell)
            if not rolled:
                raise BadBackup(f"the journal on {settings.kafka} is empty: there is nothing to build state from")
            await redis_copy.clear(client)
            await mark_unfinished(client)
            await _write(client, rolled, tell, done)
            done.results = await serve_again(client, log, {}, tell)
            await mark_finished(client)


def _rolled(settings: Settings, log: KafkaLog, begins: Begins, tell: Tell) -> list[Rolled]:
    edge = Edge(Tokeniser({"1": settings.key("tokens")}), Seal(settings.key("dead-letters")))
    return rolled_forward(pipeline(settings), log, edge, begins, tell)


async def _write(client: Redis, rolled: Sequence[Rolled], tell: Tell, done: Restored) -> None:
    for task in rolled:
        tell(f"writing {task.name}")
        await write_rolled(client, task)
        done.tasks += 1
        done.commits += task.commits


def _restore_clickhouse(
    settings: Settings, folder: Path, manifest: Manifest, force: bool, tell: Tell, done: Restored
) -> None:
    client = client_for(settings.clickhouse)
    create_schema(client)
    filled = [table for table in clickhouse_copy.tables(client) if clickhouse_copy.count(client, table)]
    if filled and not force:
        raise BadBackup(f"{', '.join(filled)} hold rows already: --force inserts beside them, and none shows twice")
    done.rows = restore_clickhouse(client, folder, manifest, tell)
    if manifest.clickhouse is not None:
        move_group(settings.kafka, manifest.clickhouse.group, manifest.clickhouse.offsets)
        done.moved = manifest.clickhouse.group


def _print(done: Restored, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(done))
        return
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[green]✓[/] {done.keys:,} keys and {done.rows:,} rows of the backup, in {done.seconds:.1f} s")
    console.print(
        f"[green]✓[/] {done.commits:,} commits of {done.tasks} tasks stepped, {done.results:,} results served"
    )
    console.print("  Start workers: they go on where they were. Kafka's offsets of their group need no change.")
    if done.moved:
        console.print(f"  Start `headrace sink`: group {done.moved} reads on from where the backup was made.")
