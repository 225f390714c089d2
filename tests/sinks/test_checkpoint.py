"""The engine's store on Redis: its keys, a network that breaks, and a Redis that is no place for state."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import OutOfMemoryError, ResponseError

from sinks.base import SinkBusy
from sinks.checkpoint import RedisStore, UnsafeRedis, refuse_unsafe, unsafe
from sinks.connection import busy_when_away, connect
from sinks.serving import Served
from sinks.store import Commit, Fenced
from tests.contracts.commits import TASK, commit
from tests.sinks.network import Network, between

pytestmark = pytest.mark.anyio

DATABASE = "/8"
FEW_BYTES = 40
"""More than nothing of the first of a commit's two round trips, and less than all of it."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url.removesuffix("/0") + DATABASE


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    client = connect(url, timeout_s=10)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def network(redis: Redis, url: str) -> AsyncIterator[tuple[Network, RedisStore]]:
    async with between(url) as (network, through):
        client = connect(through, timeout_s=10)
        yield network, RedisStore(client)
        await client.aclose()


@pytest.fixture
async def configured(redis: Redis) -> AsyncIterator[Redis]:
    """A Redis whose settings are put back."""
    names = ("maxmemory", "maxmemory-policy", "appendonly", "save", "min-replicas-to-write")
    before = {name: str((await redis.config_get(name))[name]) for name in names}
    yield redis
    for name, value in before.items():
        await redis.config_set(name, value)


def batch(sequence: int) -> Commit:
    """Return a commit of many states, all of which name it."""
    states: dict[str, bytes | None] = {f"customer-{n}": b"%d" % sequence * 100 for n in range(500)}
    served = (Served("hr:default:score:e1", b"%d" % sequence, 60_000),)
    return commit(sequence, states=states, dues=dict.fromkeys(states, sequence), outbox=b"o" * 10_000, served=served)


async def version_of(redis: Redis) -> int:
    """Return the sequence that states, dues, place and results are at; fails when they are not at the same."""
    states = await RedisStore(redis).load(TASK, list(batch(0).states))
    place = await redis.hget(f"hr:{{{TASK}}}:checkpoint", "sequence")
    dues: Any = await redis.zrange(f"hr:{{{TASK}}}:dues", 0, -1, withscores=True)
    versions = {int((state or b"0")[:1]) for state in states} | {int(time) for _, time in dues}
    versions |= {int(place or 0), int(await redis.get("hr:default:score:e1") or 0)}
    assert len(versions) == 1
    return versions.pop()


async def test_one_hash_slot_holds_a_whole_task_and_its_keys_are_those_documented(redis: Redis) -> None:
    store = RedisStore(redis)
    owner = await store.claim(TASK)
    await store.commit(TASK, owner.epoch, commit(states={"ann": b"1", "}{x}": b"2"}, dues={"ann": 5}))
    keys = {str(key, "utf-8") for key in await redis.keys()}  # type: ignore[arg-type]
    task = "hr:{count/0}:"
    assert keys == {f"{task}checkpoint", f"{task}dues", f"{task}state:ann", f"{task}state:}}{{x}}"}
    assert {key_slot(key.encode()) for key in keys} == {key_slot(b"count/0")}
    assert {await redis.pttl(key) for key in keys} == {-1}


async def test_a_prefix_keeps_pipelines_apart(redis: Redis) -> None:
    ours, theirs = RedisStore(redis, "ours"), RedisStore(redis, "theirs")
    owner = await ours.claim(TASK)
    await theirs.claim(TASK)
    await ours.commit(TASK, owner.epoch, commit(states={"a": b"1"}))
    assert await theirs.load(TASK, ["a"]) == [None]


async def test_a_redis_that_forgot_an_epoch_does_not_give_it_out_again(redis: Redis) -> None:
    store = RedisStore(redis)
    forgotten = await store.claim(TASK)
    await redis.flushdb()
    assert (await store.claim(TASK)).epoch > forgotten.epoch
    with pytest.raises(Fenced):
        await store.commit(TASK, forgotten.epoch, commit())


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.2, 0.5, 0.9, 0.99, 0.9999])
async def test_a_connection_killed_on_the_way_leaves_all_as_it_was(
    redis: Redis, network: tuple[Network, RedisStore], share: float
) -> None:
    wire, store = network
    owner = await store.claim(TASK)
    wire.arm(None)
    await store.commit(TASK, owner.epoch, batch(1))
    wire.arm(int(wire.sent * share))
    with pytest.raises(SinkBusy, match="Redis"):
        await store.commit(TASK, owner.epoch, batch(2))
    wire.arm(None)
    owner = await store.claim(TASK)
    assert (owner.sequence, await version_of(redis)) == (1, 1)
    await store.commit(TASK, owner.epoch, batch(2))
    assert await version_of(redis) == 2


async def test_a_commit_whose_answer_is_lost_is_found_by_the_next_claim(
    redis: Redis, network: tuple[Network, RedisStore]
) -> None:
    wire, store = network
    owner = await store.claim(TASK)
    wire.arm(None)
    await store.commit(TASK, owner.epoch, batch(1))
    wire.arm(wire.sent)
    with pytest.raises(SinkBusy):
        await store.commit(TASK, owner.epoch, batch(2))
    deadline = asyncio.get_running_loop().time() + 10
    while await redis.get("hr:default:score:e1") != b"2":
        assert asyncio.get_running_loop().time() < deadline
    wire.arm(None)
    assert (await store.claim(TASK)).sequence == await version_of(redis) == 2


async def test_a_claim_in_the_middle_of_a_commit_wins(redis: Redis, network: tuple[Network, RedisStore]) -> None:
    wire, store = network
    zombie = await store.claim(TASK)
    wire.arm(None)
    await store.commit(TASK, zombie.epoch, batch(1))
    held = asyncio.Event()
    wire.arm(wire.sent - 10, held)
    late = asyncio.create_task(store.commit(TASK, zombie.epoch, batch(2)))
    await asyncio.wait_for(held.wait(), 10)
    owner = await RedisStore(redis).claim(TASK)
    wire.released.set()
    with pytest.raises(Fenced, match=f"not to {zombie.epoch}"):
        await late
    assert await version_of(redis) == 1
    await RedisStore(redis).commit(TASK, owner.epoch, batch(2))


@pytest.mark.parametrize("limit", [FEW_BYTES, 10_000])
async def test_a_cancelled_commit_is_whole_or_nothing_and_leaves_a_clean_connection(
    redis: Redis, network: tuple[Network, RedisStore], limit: int
) -> None:
    wire, store = network
    owner = await store.claim(TASK)
    held = asyncio.Event()
    wire.arm(limit, held)
    committing = asyncio.create_task(store.commit(TASK, owner.epoch, batch(1)))
    await asyncio.wait_for(held.wait(), 10)
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    wire.released.set()
    owner = await store.claim(TASK)
    assert await version_of(redis) == owner.sequence
    await store.commit(TASK, owner.epoch, batch(owner.sequence + 1))
    assert await version_of(redis) == owner.sequence + 1


async def test_a_silent_redis_is_busy(redis: Redis, url: str) -> None:
    async with between(url) as (wire, through):
        client = connect(through, timeout_s=0.2)
        store = RedisStore(client)
        owner = await store.claim(TASK)
        wire.arm(0, asyncio.Event())
        with pytest.raises(SinkBusy, match="Timeout"):
            await store.commit(TASK, owner.epoch, batch(1))
        wire.released.set()
        await client.aclose()


async def test_a_redis_that_is_away_is_busy() -> None:
    client = connect("redis://127.0.0.1:1/0")
    store = RedisStore(client)
    for question in (store.claim(TASK), store.load(TASK, ["a"]), store.commit(TASK, 1, commit())):
        with pytest.raises(SinkBusy, match="try again in 1 s"):
            await question
    await client.aclose()


@pytest.mark.parametrize(("setting", "value"), [("maxmemory", 1), ("min-replicas-to-write", 1)])
async def test_a_redis_that_takes_no_writes_is_busy_and_unchanged(configured: Redis, setting: str, value: int) -> None:
    store = RedisStore(configured)
    owner = await store.claim(TASK)
    await store.commit(TASK, owner.epoch, batch(1))
    await configured.config_set(setting, value)
    with pytest.raises(SinkBusy, match=r"Redis takes no writes|out of memory"):
        await store.commit(TASK, owner.epoch, batch(2))
    await configured.config_set(setting, 0)
    assert await version_of(configured) == 1


@pytest.mark.parametrize(
    "error",
    [
        ResponseError("Error running script (call to f_1): @user_script:22: -OOM command not allowed"),
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'. script: f_1, on @user_script:22."),
    ],
    ids=["Redis 6", "Redis 7"],
)
def test_a_full_redis_is_busy_however_it_tells(error: ResponseError) -> None:
    with pytest.raises(SinkBusy, match="out of memory"), busy_when_away():
        raise error


async def test_a_replica_is_busy(configured: Redis) -> None:
    store = RedisStore(configured)
    owner = await store.claim(TASK)
    await configured.replicaof("127.0.0.1", "1")
    try:
        with pytest.raises(SinkBusy):
            await store.commit(TASK, owner.epoch, batch(1))
    finally:
        await configured.replicaof("NO", "ONE")
    assert await version_of(configured) == 0


async def test_a_foreign_value_under_our_keys_is_a_bug_not_busy(redis: Redis) -> None:
    store = RedisStore(redis)
    owner = await store.claim(TASK)
    await redis.set(f"hr:{{{TASK}}}:dues", "not a sorted set")
    with pytest.raises(ResponseError, match="wrong kind of value"):
        await store.commit(TASK, owner.epoch, batch(1))


async def test_a_durable_redis_is_fine(configured: Redis) -> None:
    await refuse_unsafe(configured, throw_away=False)
    await configured.config_set("maxmemory", 1 << 40)
    await refuse_unsafe(configured, throw_away=False)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "maxmemory-policy allkeys-lru may evict keys: set .* noeviction"),
        ({"maxmemory-policy": "volatile-ttl", "maxmemory": 1 << 40}, "maxmemory-policy volatile-ttl may evict"),
        ({"appendonly": "no", "save": ""}, "keeps nothing on disk: set appendonly yes"),
    ],
)
async def test_a_redis_that_may_lose_state_is_refused_with_the_way_out(
    configured: Redis, settings: dict[str, Any], reason: str
) -> None:
    for name, value in settings.items():
        await configured.config_set(name, value)
    with pytest.raises(UnsafeRedis, match=reason):
        await refuse_unsafe(configured, throw_away=False)
    await refuse_unsafe(configured, throw_away=True)


async def test_snapshots_are_persistence_too(configured: Redis) -> None:
    await configured.config_set("save", "60 1")
    await configured.config_set("appendonly", "no")
    await refuse_unsafe(configured, throw_away=False)


async def test_where_config_is_forbidden_only_the_append_only_file_counts(configured: Redis, url: str) -> None:
    await configured.acl_setuser(
        "guest", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=["-config"]
    )
    guest = connect(url.replace("redis://", "redis://guest:any@"))
    await refuse_unsafe(guest, throw_away=False)
    await configured.config_set("appendonly", "no")
    with pytest.raises(UnsafeRedis, match="keeps nothing on disk"):
        await refuse_unsafe(guest, throw_away=False)
    await guest.aclose()
    await configured.acl_deluser("guest")


@pytest.mark.parametrize(("version", "refused"), [("5.0.14", True), ("6.0.9", True), ("6.2.0", False), ("8.0", False)])
def test_a_redis_before_6_2_is_refused(version: str, refused: bool) -> None:
    reason = unsafe({"redis_version": version, "maxmemory": 0, "aof_enabled": 1}, "")
    assert (reason is not None) == refused
