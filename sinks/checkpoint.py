"""The engine's store on Redis: one fenced transaction for a batch's states, results, outbox and place in the log.

| key                            | type       | value                                                        |
|--------------------------------|------------|--------------------------------------------------------------|
| `hr:{processor/0}:checkpoint`  | hash       | `epoch`, `sequence`, `offsets`, `meta`, `outbox`             |
| `hr:{processor/0}:dues`        | sorted set | key → event time it waits for, in milliseconds               |
| `hr:{processor/0}:state:{key}` | string     | encoded state                                                |
| `hr:progress`                  | hash       | "processor/partition" → Progress, see `sinks/progress.py`    |

`offsets` is JSON, [[topic, partition, last offset taken], …]; the rest of the hash is as it was committed. The braces
around the task are part of its keys: a hash tag, so that on Redis Cluster one slot holds the whole task. Results for
readers lie where `sinks/serving.py` says. None of a task's keys expires.

The hash is the fence. A commit WATCHes it, reads epoch and sequence, and sends everything in one MULTI … EXEC, which
Redis drops when the hash has changed since. A connection lost on the way takes its transaction with it, or hides its
outcome: then only a new `claim` tells.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
from hiredis import pack_command
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from sinks.base import SinkBusy
from sinks.connection import RETRY_AFTER, busy_when_away
from sinks.progress import PROGRESS
from sinks.serving import apply
from sinks.store import Claim, Commit, Fenced, Position

LOAD_CHUNK = 1_000
"""Keys asked for at once: Redis serves nobody else meanwhile."""

OLDEST_REDIS = (6, 2)

# The clock keeps epochs apart that a Redis restarted from an older file would otherwise give out a second time.
CLAIM = """
redis.replicate_commands()
local now = redis.call('TIME')
local last = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
local epoch = string.format('%.0f', math.max(last + 1, now[1] * 1000000 + now[2]))
redis.call('HSET', KEYS[1], 'epoch', epoch)
return epoch
"""

_REFUSALS = (exceptions.OutOfMemoryError, exceptions.ReadOnlyError, exceptions.ExecAbortError)
_UNNAMED_REFUSALS = ("MISCONF", "NOREPLICAS")  # a full disk, lost replicas

Command = tuple[str | bytes | int, ...]


class UnsafeRedis(RuntimeError):
    """A Redis that may lose state without telling."""


class RedisStore:
    """Keeps tasks in one Redis node; see Store. Its client must return bytes, and not retry by itself.

    Every commit has a connection of its own for as long as it takes, so tasks may commit at the same time.
    """

    def __init__(self, client: Redis, prefix: str = "hr") -> None:
        self._client = client
        self._prefix = prefix

    async def claim(self, task: str) -> Claim:
        """Take the task over in one round trip. Raises SinkBusy."""
        fence = self._key(task, "checkpoint")
        pipeline = self._client.pipeline(transaction=True)
        pipeline.eval(CLAIM, 1, fence)
        pipeline.hmget(fence, ["sequence", "offsets", "meta", "outbox"])
        pipeline.zrange(self._key(task, "dues"), 0, -1, withscores=True)
        with _busy_when_refused():
            epoch, (sequence, offsets, meta, outbox), dues = await pipeline.execute()
        return Claim(
            epoch=int(epoch),
            sequence=int(sequence or 0),
            offsets=_decoded_offsets(offsets or b"[]"),
            meta=meta or b"",
            outbox=outbox or b"",
            dues={key.decode(): int(time) for key, time in dues},
        )

    async def load(self, task: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the state of each key, a thousand keys per round trip. Raises SinkBusy."""
        path = self._key(task, "state:")
        names = [path + key for key in keys]
        found: list[bytes | None] = []
        with _busy_when_refused():
            for start in range(0, len(names), LOAD_CHUNK):
                chunk: list[Any] = await self._client.mget(names[start : start + LOAD_CHUNK])
                found += chunk
        return found

    async def commit(self, task: str, epoch: int, commit: Commit) -> None:
        """Apply a batch in two round trips. Raises Fenced, and SinkBusy after which `claim` tells what came of it."""
        queue = _Queue()
        self._queue_states(queue, task, commit)
        self._queue_dues(queue, task, commit)
        self._queue_place(queue, task, commit)
        apply(queue, commit.served)
        with _busy_when_refused():
            async with self._connection() as connection:
                await self._watch(connection, task, epoch, commit.sequence)
                if await _transact(connection, queue.commands) is None:
                    raise Fenced(f"{task} was claimed or committed to while epoch {epoch} committed")

    async def _watch(self, connection: AbstractConnection, task: str, epoch: int, sequence: int) -> None:
        fence = self._key(task, "checkpoint")
        _, place = await _ask(connection, [("WATCH", fence), ("HMGET", fence, "epoch", "sequence")])
        newest, last = (int(number or 0) for number in place)
        if newest != epoch:
            raise Fenced(f"{task} belongs to epoch {newest} now, not to {epoch}")
        if last + 1 != sequence:
            raise Fenced(f"{task} stands at sequence {last}: {sequence} does not follow")

    def _queue_states(self, queue: "_Queue", task: str, commit: Commit) -> None:
        path = self._key(task, "state:")
        kept: list[str | bytes] = []
        forgotten: list[str] = []
        for key, state in commit.states.items():
            if state is None:
                forgotten.append(path + key)
            else:
                kept += (path + key, state)
        queue.add("MSET", kept)
        queue.add("UNLINK", forgotten)

    def _queue_dues(self, queue: "_Queue", task: str, commit: Commit) -> None:
        path, dues = self._key(task, "dues"), commit.dues
        waiting = [part for key, time in dues.items() for part in (time, key)]
        settled = [key for key in commit.states if key not in dues]
        queue.add("ZADD", waiting, path)
        queue.add("ZREM", settled, path)

    def _queue_place(self, queue: "_Queue", task: str, commit: Commit) -> None:
        fields = ("sequence", commit.sequence, "offsets", _encoded_offsets(commit.offsets))
        blobs = ("meta", commit.meta, "outbox", commit.outbox)
        queue.add("HSET", fields + blobs, self._key(task, "checkpoint"))
        if commit.progress:
            queue.add("HSET", (task, commit.progress), PROGRESS)

    def _key(self, task: str, what: str) -> str:
        return f"{self._prefix}:{{{task}}}:{what}"

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        pool = self._client.connection_pool
        connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            yield connection
        except BaseException:
            # Its WATCH, or the replies nobody has read yet, must not reach the next who takes it.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)


class _Queue:
    """Commands for one transaction; takes what `serving.apply` writes too."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def add(self, name: str, arguments: Sequence[str | bytes | int], *first: str) -> None:
        """Queue a command, unless it has nothing to say."""
        if arguments:
            self.commands.append((name, *first, *arguments))

    def eval(self, script: str, numkeys: int, /, *keys_and_args: Any) -> None:
        """Queue a script."""
        self.commands.append(("EVAL", script, numkeys, *keys_and_args))


async def refuse_unsafe(client: Redis, throw_away: bool) -> None:
    """Raise UnsafeRedis when this Redis may evict keys, keeps nothing on disk or is older than 6.2.

    A `throw_away` Redis may be anything. Raises SinkBusy while it is away.
    """
    if throw_away:
        return
    with _busy_when_refused():
        reason = unsafe(await client.info(), await _snapshots(client))
    if reason:
        raise UnsafeRedis(f"Redis holds the state of the pipeline, but {reason}; or declare this Redis a throw-away")


def unsafe(about: dict[str, Any], snapshots: str) -> str | None:
    """Return why a Redis is no place for state and the way out, or None.

    `about` is its INFO, `snapshots` its setting `save`.

    >>> unsafe({"redis_version": "6.0.9"}, "")
    'version 6.0.9 is older than 6.2: upgrade it'
    """
    version, policy = str(about["redis_version"]), about.get("maxmemory_policy", "noeviction")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        return f"version {version} is older than 6.2: upgrade it"
    if policy != "noeviction" and (about["maxmemory"] or policy.startswith("allkeys-")):
        return f"its maxmemory-policy {policy} may evict keys: set maxmemory-policy noeviction"
    if not about["aof_enabled"] and not snapshots:
        return "it keeps nothing on disk: set appendonly yes"
    return None


async def _snapshots(client: Redis) -> str:
    try:
        return str((await client.config_get("save"))["save"])
    except exceptions.ResponseError:
        return ""  # some hosts forbid CONFIG; only the append-only file counts there


async def _ask(connection: AbstractConnection, commands: list[Command]) -> list[Any]:
    """Send all commands at once and return their replies. Raises the first reply that is an error."""
    # Not the connection's own packing: that goes through Python for every argument, most of a commit's time.
    packed = [pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub means 1-tuples
    await connection.send_packed_command(packed)
    return [await connection.read_response() for _ in commands]


async def _transact(connection: AbstractConnection, commands: list[Command]) -> list[Any] | None:
    """Return the replies of a transaction, None when a watched key has changed. Raises the first error in it."""
    *_, replies = await _ask(connection, [("MULTI",), *commands, ("EXEC",)])
    for reply in replies or ():
        if isinstance(reply, Exception):
            raise reply
    return replies  # type: ignore[no-any-return]


@contextmanager
def _busy_when_refused() -> Iterator[None]:
    """Turn what `busy_when_away` does, and every refusal to write, into SinkBusy."""
    with busy_when_away():
        try:
            yield
        except exceptions.ResponseError as error:
            if not isinstance(error, _REFUSALS) and not str(error).startswith(_UNNAMED_REFUSALS):
                raise
            raise SinkBusy(RETRY_AFTER, f"Redis takes no writes: {error}") from error


def _encoded_offsets(offsets: dict[Position, int]) -> bytes:
    return msgspec.json.encode([(*position, offset) for position, offset in offsets.items()])


def _decoded_offsets(stored: bytes) -> dict[Position, int]:
    rows = msgspec.json.decode(stored, type=list[tuple[str, int, int]])
    return {Position(topic, partition): offset for topic, partition, offset in rows}
