"""Backups: every task as of one of its commits, results for readers, rows of ClickHouse; and bringing them back.

A task that is brought back as it once stood must not go on from there by itself: what it said afterwards stands on its
topics already, and it would say it again in other batches, which its readers could not tell from news. So its journal
is stepped from that commit on first: see `streams/roll_forward.py`.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from time import time

import msgspec
from redis.asyncio import Redis

from schemas.records import AnyTopic
from sinks import clickhouse_copy, redis_copy
from sinks.analytics import Client, create_schema
from sinks.checkpoint import RedisStore
from sinks.earlier import is_unfinished, mark_unfinished
from sinks.redis_copy import Place, Row
from streams.backup_files import (
    TABLES,
    BadBackup,
    ClickHousePart,
    Manifest,
    Mark,
    RedisPart,
    TableEntry,
    Tell,
    chunks_of,
    new_file,
    rows_in,
    task_file,
    write_manifest,
)
from streams.journal import Log

RESULTS = "redis/results.rows"
ATTEMPTS = 4
WRITTEN = 1_000
"""Keys that are written at once."""


class Moving(RuntimeError):
    """A task was committed to while it was copied."""


async def copy_redis(client: Redis, folder: Path, online: bool, tell: Tell) -> tuple[dict[str, Place], dict[str, Mark]]:
    """Write what Redis has to a folder; return where each task stood and what the files hold.

    Each task is copied as of one commit; with `online` one that commits meanwhile is taken from its owner for the time
    of the copy, which takes it back after some seconds. Raises Moving, BadBackup while state is being replaced, and
    SinkBusy.
    """
    if await is_unfinished(client):
        raise BadBackup("the state in Redis is being replaced, or that was broken off: let it finish first")
    places: dict[str, Place] = {}
    files: dict[str, Mark] = {}
    for task in await redis_copy.tasks_in(client):
        tell(f"copying {task}")
        places[task], files[task_file(task)] = await _copy_task(client, folder, task, ATTEMPTS if online else 1)
    tell("copying results")
    with new_file(folder / RESULTS) as file:
        async for rows in redis_copy.result_rows(client):
            for row in rows:
                file.append(row)
    return places, files | {RESULTS: file.mark}


async def _copy_task(client: Redis, folder: Path, task: str, attempts: int) -> tuple[Place, Mark]:
    for attempt in range(attempts):
        if attempt:
            await RedisStore(client).claim(task)
        before = await redis_copy.place_of(client, task)
        with new_file(folder / task_file(task)) as file:
            async for rows in redis_copy.task_rows(client, task):
                for row in rows:
                    file.append(row)
        if await redis_copy.place_of(client, task) == before:
            return before, file.mark
    raise Moving(f"{task} was committed to while it was copied: stop the workers, or say --online while they run")


def copy_tables(log: Log, topics: Iterable[AnyTopic], folder: Path) -> dict[str, Mark]:
    """Write the newest record of each key of compacted topics, tombstones included; return what the file holds.

    Compaction drops what was superseded since: a replay that begins at the backup has to look things up as they were.
    """
    with new_file(folder / TABLES) as file:
        for topic in topics:
            for partition, end in log.ends(topic.name).items():
                newest = {raw.key or b"": raw for raw in log.read(topic.name, partition, 0, end - 1)}
                for key, raw in sorted(newest.items(), key=lambda entry: entry[1].offset):
                    file.append(TableEntry(topic.name, partition, raw.offset, key, raw.value))
    return {TABLES: file.mark}


def copy_clickhouse(client: Client, folder: Path, tell: Tell) -> tuple[dict[str, list[str]], dict[str, Mark]]:
    """Write all rows to a folder, by table and month; return each table's columns, and what the files hold.

    Raises SinkBusy.
    """
    columns: dict[str, list[str]] = {}
    files: dict[str, Mark] = {}
    for table in clickhouse_copy.tables(client):
        columns[table] = clickhouse_copy.columns(client, table)
        for month in clickhouse_copy.months(client, table):
            tell(f"copying {table}, {month}")
            path = f"clickhouse/{table}/{month}.native"
            rows = clickhouse_copy.count(client, table, month)
            with new_file(folder / path) as file:
                for block in clickhouse_copy.blocks(client, table, columns[table], month):
                    file.write(block)
            files[path] = msgspec.structs.replace(file.mark, rows=rows)
    return columns, files


def finish(
    folder: Path, files: Mapping[str, Mark], redis: RedisPart | None, clickhouse: ClickHousePart | None
) -> Manifest:
    """Say in a manifest what the folder holds, which makes it a backup; return it."""
    now = round(time() * 1000)
    manifest = Manifest(
        headrace=version("headrace"), made_at=now, files=dict(files), redis=redis, clickhouse=clickhouse
    )
    write_manifest(folder, manifest)
    return manifest


async def restore_redis(client: Redis, folder: Path, manifest: Manifest, tell: Tell) -> int:
    """Write what a backup has of Redis, in the place of everything there, and return how many keys that were.

    It is marked as unfinished, which no worker starts on: whoever restores says when it is whole. Raises SinkBusy.
    """
    await redis_copy.clear(client)
    await mark_unfinished(client)
    written = 0
    for name in [name for name in manifest.files if name.startswith("redis/")]:
        tell(f"restoring {name}")
        rows = []
        for row in rows_in(folder / name, Row):
            rows.append(row)
            if len(rows) == WRITTEN:
                await redis_copy.write_rows(client, rows)
                rows.clear()
            written += 1
        await redis_copy.write_rows(client, rows)
    return written


def restore_clickhouse(client: Client, folder: Path, manifest: Manifest, tell: Tell) -> int:
    """Insert what a backup has of ClickHouse, and return how many rows that were. Raises SinkBusy."""
    create_schema(client)
    columns = {} if manifest.clickhouse is None else manifest.clickhouse.tables
    written = 0
    for name, mark in manifest.files.items():
        if name.startswith("clickhouse/"):
            tell(f"restoring {name}")
            table = name.split("/")[1]
            clickhouse_copy.insert(client, table, columns[table], chunks_of(folder / name))
            written += mark.rows
    return written
