"""The engine's store on Redis: one fenced transaction for a batch's states, results, outbox and place in the log.

| key                            | type       | value                                                        |
|--------------------------------|------------|--------------------------------------------------------------|
| `hr:{processor/0}:checkpoint`  | hash       | `epoch`, `sequence`, `offsets`, `meta`, `outbox`; an attempt |
| `hr:{processor/0}:dues`        | sorted set | key → event time it waits for, in milliseconds               |
| `hr:{processor/0}:state:{key}` | string     | encoded state                                                |
| `hr:progress`                  | hash       | "processor/partition" → Progress, see `sinks/progress.py`    |

`offsets` is JSON, [[topic, partition, last offset taken], …]; the rest of a commit is as it came. An attempt is
`attempt`, JSON as well, and `attempted`, the sequence it was noted at: with another one it is over, so no commit has to
take it away. The braces around the task are part of its keys: a hash tag, so that on Redis Cluster one slot holds the
whole task. Results for readers lie where `sinks/serving.py` says. None of a task's keys expires.

The hash is the fence. A commit is one Lua script, which reads epoch and sequence and writes everything or nothing: what
may refuse a write refuses the first one. A connection lost on the way hides its outcome: then only a new `claim` tells.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import msgspec
from hiredis import pack_command
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from sinks.base import SinkBusy
from sinks.connection import RETRY_AFTER, busy_when_away
from sinks.progress import PROGRESS
from sinks.serving import SERVE, script_arguments
from sinks.store import Attempt, Claim, Commit, Fenced, Position

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

# KEYS: fence. ARGV: epoch, the attempt.
NOTE = """
local epoch = redis.call('HGET', KEYS[1], 'epoch') or '0'
if epoch ~= ARGV[1] then return epoch end
redis.call('HSET', KEYS[1], 'attempt', ARGV[2], 'attempted', redis.call('HGET', KEYS[1], 'sequence') or '0')
return epoch
"""

# KEYS: fence, dues, progress, the states to keep, those to forget, what is served. ARGV: epoch, sequence, offsets,
# meta, outbox, the task and its progress, how many states are kept and forgotten, how many dues are set and settled;
# then the states, the dues as pairs, the settled keys, and four arguments for each served value.
COMMIT = (
    SERVE
    + """
local place = redis.call('HMGET', KEYS[1], 'epoch', 'sequence')
local epoch, sequence = place[1] or '0', place[2] or '0'
if epoch ~= ARGV[1] or tonumber(sequence) + 1 ~= tonumber(ARGV[2]) then return {epoch, sequence} end
local kept, forgotten, due, settled = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local function chunks(first, count, write)
  for at = first, first + count - 1, 4000 do write(at, math.min(at + 3999, first + count - 1)) end
end
redis.call('HSET', KEYS[1], 'sequence', ARGV[2], 'offsets', ARGV[3], 'meta', ARGV[4], 'outbox', ARGV[5])
if ARGV[7] ~= '' then redis.call('HSET', KEYS[3], ARGV[6], ARGV[7]) end
for at = 1, kept, 2000 do
  local pairs = {}
  for i = at, math.min(at + 1999, kept) do
    pairs[#pairs + 1] = KEYS[3 + i]
    pairs[#pairs + 1] = ARGV[11 + i]
  end
  redis.call('MSET', unpack(pairs))
end
chunks(4 + kept, forgotten, function(from, to) redis.call('UNLINK', unpack(KEYS, from, to)) end)
local at = 12 + kept
chunks(at, 2 * due, function(from, to) redis.call('ZADD', KEYS[2], unpack(ARGV, from, to)) end)
at = at + 2 * due
chunks(at, settled, function(from, to) redis.call('ZREM', KEYS[2], unpack(ARGV, from, to)) end)
at = at + settled
for i = 4 + kept + forgotten, #KEYS do
  serve(KEYS[i], unpack(ARGV, at, at + 3))
  at = at + 4
end
return {}
"""
)

_REFUSALS = ("MISCONF", "NOREPLICAS", "READONLY")  # a full disk, lost replicas, a replica

_attempts = msgspec.json.Decoder(Attempt)

Command = tuple[str | bytes | int, ...]

_pack = cast("Callable[[Command], bytes]", pack_command)  # hiredis declares it for a command of one word only


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
        pipeline.hmget(fence, ["sequence", "offsets", "meta", "outbox", "attempt", "attempted"])
        pipeline.zrange(self._key(task, "dues"), 0, -1, withscores=True)
        with _busy_when_refused():
            epoch, (sequence, offsets, meta, outbox, attempt, attempted), dues = await pipeline.execute()
        return Claim(
            epoch=int(epoch),
            sequence=int(sequence or 0),
            offsets=_decoded_offsets(offsets or b"[]"),
            meta=meta or b"",
            outbox=outbox or b"",
            dues={key.decode(): int(time) for key, time in dues},
            attempt=_attempts.decode(attempt) if attempt and int(attempted) == int(sequence or 0) else None,
        )

    async def note(self, task: str, epoch: int, attempt: Attempt) -> None:
        """Note an attempt in one round trip. Raises Fenced and SinkBusy."""
        fence = self._key(task, "checkpoint")
        with _busy_when_refused():
            newest = int(await self._client.eval(NOTE, 1, fence, epoch, msgspec.json.encode(attempt)))
        if newest != epoch:
            raise Fenced(f"{task} belongs to epoch {newest} now, not to {epoch}")

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
        """Apply a batch in one round trip. Raises Fenced, and SinkBusy after which `claim` tells what came of it."""
        command = self._command(task, epoch, commit)
        with _busy_when_refused():
            async with self._connection() as connection:
                # Not the connection's own packing: that goes through Python for every argument.
                await connection.send_packed_command([_pack(command)])
                place = await connection.read_response()
        if place:
            newest, last = map(int, place)
            if newest != epoch:
                raise Fenced(f"{task} belongs to epoch {newest} now, not to {epoch}")
            raise Fenced(f"{task} stands at sequence {last}: {commit.sequence} does not follow")

    def _command(self, task: str, epoch: int, commit: Commit) -> Command:
        path, dues = self._key(task, "state:"), commit.dues
        kept = {key: state for key, state in commit.states.items() if state is not None}
        forgotten = [path + key for key, state in commit.states.items() if state is None]
        settled = [key for key in commit.states if key not in dues]
        served, arguments = script_arguments(commit.served)
        own = (self._key(task, "checkpoint"), self._key(task, "dues"), PROGRESS)
        keys = (*own, *[path + key for key in kept], *forgotten, *served)
        place = (epoch, commit.sequence, _encoded_offsets(commit.offsets), commit.meta, commit.outbox)
        counts = (len(kept), len(forgotten), len(dues), len(settled))
        waiting = [part for key, time in dues.items() for part in (time, key)]
        values = (*place, task, commit.progress, *counts, *kept.values(), *waiting, *settled, *arguments)
        return ("EVAL", COMMIT, len(keys), *keys, *values)

    def _key(self, task: str, what: str) -> str:
        return f"{self._prefix}:{{{task}}}:{what}"

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        pool = self._client.connection_pool
        connection: AbstractConnection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            yield connection
        except BaseException:
            # A reply that nobody has read yet must not reach the next who takes it.
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)


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


@contextmanager
def _busy_when_refused() -> Iterator[None]:
    """Turn what `busy_when_away` does, and every refusal to write, into SinkBusy."""
    with busy_when_away():
        try:
            yield
        except exceptions.ResponseError as error:
            # Redis 6 tells of them in the middle of what it says about the script, Redis 7 by their own names.
            if not isinstance(error, exceptions.ReadOnlyError) and not any(why in str(error) for why in _REFUSALS):
                raise
            raise SinkBusy(RETRY_AFTER, f"Redis takes no writes: {error}") from error


def _encoded_offsets(offsets: dict[Position, int]) -> bytes:
    return msgspec.json.encode([(*position, offset) for position, offset in offsets.items()])


def _decoded_offsets(stored: bytes) -> dict[Position, int]:
    rows = msgspec.json.decode(stored, type=list[tuple[str, int, int]])
    return {Position(topic, partition): offset for topic, partition, offset in rows}
