"""Copies of what is in Redis: every key of a task as of one commit, and results for readers as they come.

The layout of the keys is told by `sinks/checkpoint.py` and `sinks/serving.py`. A copy tells values, not Redis' own
encoding of them: it can be read back into any version.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple, cast

import msgspec
from redis.asyncio import Redis

from sinks.connection import busy_when_away
from sinks.store import Position

SCANNED = 5_000
CHUNK = 1_000
"""Keys asked for, or written, at once: Redis serves nobody else meanwhile."""

ALL_KEYS = "hr:*"
TASK, STATE = b"hr:{", b"}:state:"

_READS = {b"string": ("GET",), b"hash": ("HGETALL",), b"zset": ("ZRANGE", 0, -1, "WITHSCORES")}


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key: its kind (string, hash, zset), when it expires (milliseconds since 1970; 0: never), and what it holds.

    `parts` are a string's value, a hash's fields and values in turn, or a sorted set's members and scores in turn.
    """

    key: bytes
    kind: str
    expires_at: int
    parts: list[bytes]


class Place(NamedTuple):
    """Where a task stands: who owns it, and how often it has been committed."""

    epoch: int
    sequence: int


async def tasks_in(client: Redis) -> list[str]:
    """Return the name of every task that has a checkpoint. Raises SinkBusy."""
    found = [key async for keys in _scanned(client, "hr:{*}:checkpoint") for key in keys]
    return sorted({key.decode()[len(TASK) : -len("}:checkpoint")] for key in found})


async def place_of(client: Redis, task: str) -> Place:
    """Return where a task stands now. Raises SinkBusy."""
    with busy_when_away():
        epoch, sequence = await client.hmget(checkpoint_key(task), ["epoch", "sequence"])
    return Place(int(epoch or 0), int(sequence or 0))


async def task_rows(client: Redis, task: str) -> AsyncIterator[list[Row]]:
    """Yield every key of a task, some at a time. What is committed meanwhile may be in it or not. Raises SinkBusy."""
    seen: set[bytes] = set()
    async for keys in _scanned(client, f"hr:{{{task}}}:*"):
        new = [key for key in dict.fromkeys(keys) if key not in seen]
        seen.update(new)
        for start in range(0, len(new), CHUNK):
            yield await _rows(client, new[start : start + CHUNK])


async def result_rows(client: Redis) -> AsyncIterator[list[Row]]:
    """Yield every key that belongs to no task, some at a time. Raises SinkBusy."""
    seen: set[bytes] = set()
    async for keys in _scanned(client, ALL_KEYS):
        new = [key for key in dict.fromkeys(keys) if key not in seen and not key.startswith(TASK)]
        seen.update(new)
        for start in range(0, len(new), CHUNK):
            yield await _rows(client, new[start : start + CHUNK])


async def is_empty(client: Redis) -> bool:
    """Return whether Redis has nothing of headrace. Raises SinkBusy."""
    return not [key async for keys in _scanned(client, ALL_KEYS) for key in keys]


async def clear(client: Redis) -> None:
    """Forget everything of headrace. Not atomic: nobody may write meanwhile. Raises SinkBusy."""
    async for keys in _scanned(client, ALL_KEYS):
        if keys:
            with busy_when_away():
                await client.unlink(*keys)


async def write_rows(client: Redis, rows: Sequence[Row]) -> None:
    """Write keys as they were; those that have expired since are left out. Raises SinkBusy."""
    with busy_when_away():
        seconds, micros = await client.time()
        now = seconds * 1000 + micros // 1000
        pipeline = client.pipeline(transaction=False)
        for row in rows:
            if 0 < row.expires_at <= now:
                continue
            pipeline.execute_command(*_command(row))
            if row.expires_at:
                pipeline.pexpireat(row.key, row.expires_at)
        await pipeline.execute()


async def set_sequence(client: Redis, task: str, sequence: int) -> None:
    """Say how often a task has been committed. Nobody may own it. Raises SinkBusy."""
    with busy_when_away():
        await client.hset(checkpoint_key(task), "sequence", sequence)


def offsets_in(stored: bytes) -> dict[Position, int]:
    """Return the offsets of a checkpoint."""
    rows = msgspec.json.decode(stored, type=list[tuple[str, int, int]])
    return {Position(topic, partition): offset for topic, partition, offset in rows}


def checkpoint_key(task: str) -> str:
    """Return where a task's checkpoint is kept."""
    return f"hr:{{{task}}}:checkpoint"


def pairs(row: Row) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields and values of a hash, or the members and scores of a sorted set."""
    yield from zip(row.parts[::2], row.parts[1::2], strict=True)


def _command(row: Row) -> tuple[Any, ...]:
    match row.kind:
        case "string":
            return ("SET", row.key, row.parts[0])
        case "hash":
            return ("HSET", row.key, *row.parts)
        case _:
            return ("ZADD", row.key, *[part for member, score in pairs(row) for part in (score, member)])


async def _rows(client: Redis, keys: Sequence[bytes]) -> list[Row]:
    """Return the keys that are still there."""
    states = [key for key in keys if key.startswith(TASK) and STATE in key]
    others = [key for key in keys if not (key.startswith(TASK) and STATE in key)]
    with busy_when_away():
        values: list[Any] = await client.mget(states) if states else []
        rows = [Row(key, "string", 0, [value]) for key, value in zip(states, values, strict=True) if value is not None]
        return rows + await _typed(client, others)


async def _typed(client: Redis, keys: Sequence[bytes]) -> list[Row]:
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.type(key)
        pipeline.pttl(key)
    pipeline.time()
    *about, (seconds, micros) = await pipeline.execute()
    now = seconds * 1000 + micros // 1000
    kinds, spans = about[::2], about[1::2]
    for key, kind in zip(keys, kinds, strict=True):
        # What has vanished meanwhile is read as a string, and is none.
        command, *options = _READS.get(kind, ("GET",))
        pipeline.execute_command(command, key, *options)
    found = await pipeline.execute()
    return [
        Row(key, kind.decode(), now + span if span > 0 else 0, _parts(value))
        for key, kind, span, value in zip(keys, kinds, spans, found, strict=True)
        if value
    ]


def _parts(value: Any) -> list[bytes]:
    match value:
        case dict():
            return [part for pair in value.items() for part in pair]
        case list():
            return [part for member, score in value for part in (member, b"%.17g" % score)]
        case _:
            return [value]


async def _scanned(client: Redis, pattern: str) -> AsyncIterator[list[bytes]]:
    cursor = 0
    while True:
        with busy_when_away():
            cursor, keys = await client.scan(cursor, match=pattern, count=SCANNED)
        yield cast("list[bytes]", keys)
        if not cursor:
            return
