"""A backup holds what Redis held at a commit of each task; brought back and rolled forward, nothing has happened."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from schemas.records import DAY, AnyRecord
from schemas.results import FraudScore
from schemas.topics import MODELS, SCORES, TRANSACTIONS
from sinks import redis_copy
from sinks.checkpoint import RedisStore
from sinks.connection import connect
from sinks.earlier import mark_finished, mark_unfinished
from sinks.serving import ServingSink
from sinks.store import Fenced
from streams.assembly import fraud_pipeline
from streams.backup import Moving, copy_redis, copy_tables, finish, restore_redis
from streams.backup_files import (
    MANIFEST,
    BadBackup,
    Manifest,
    RedisPart,
    new_file,
    refuse_used,
    rows_in,
    task_file,
    verified,
)
from streams.decision_log import Unreplayable
from streams.decision_replay import DecisionReplay
from streams.journal import JournalReplay
from streams.kafka_log import Stored
from streams.outbox import origin
from streams.pipeline import Pipeline
from streams.roll_forward import from_nothing, rolled_forward, serve_again, write_rolled
from streams.settings import Settings
from streams.simulator import World, simulate
from streams.snapshots import begin_of, snapshots_in
from tests.contracts.commits import TASK, commit
from tests.live.workers import encoded
from tests.streams.memory_worker import EDGE, Cluster, MemoryWorker
from tests.streams.test_decision_replay import Altered

WORLD = World(customers=40, terminals=25, days=14, fraud_rate=0.05, label_delay_ms=2 * DAY)
SETTINGS = Settings(throw_away=True, label_window=2 * DAY, publish_every=100)
PIPELINE = fraud_pipeline(SETTINGS)
SOON_READY = fraud_pipeline(SETTINGS.model_copy(update={"model": "logistic"}))
"""Publishes versions of a model that can score from its first example on."""


@pytest.fixture
def url(redis_url: str) -> str:
    return redis_url.removesuffix("/0") + "/11"


@asynccontextmanager
async def emptied(url: str) -> AsyncIterator[Redis]:
    async with connect(url, 10.0) as client:
        await client.flushdb()
        yield client
        await client.flushdb()


async def live(client: Redis, log: Cluster, records: list[AnyRecord], pipeline: Pipeline = PIPELINE) -> None:
    """Publish records and let a worker take them."""
    log.publish(records)
    await MemoryWorker(pipeline, log, RedisStore(client), batch=150).drain()


async def contents(client: Redis) -> dict[bytes, tuple[str, Any]]:
    """Return every key with its kind and what it holds."""
    found = [row async for rows in redis_copy.result_rows(client) for row in rows]
    for task in await redis_copy.tasks_in(client):
        found += [row async for rows in redis_copy.task_rows(client, task) for row in rows]
    return {row.key: (row.kind, row.parts if row.kind == "string" else dict(redis_copy.pairs(row))) for row in found}


def kept(found: dict[bytes, tuple[str, Any]], task: bytes = b"hr:{") -> dict[bytes, Any]:
    """Return states and dues, and of checkpoints what was taken; who owns them, and what they said last, may differ."""
    taken = (b"offsets", b"meta")
    return {
        key: {name: held[name] for name in taken} if key.endswith(b":checkpoint") else held
        for key, (_, held) in found.items()
        if key.startswith(task) and not (key.endswith(b":checkpoint") and b"meta" not in held)
    }


def results(found: dict[bytes, tuple[str, Any]]) -> dict[bytes, Any]:
    """Return what readers are served, apart from the list of models, which is told anew from each version."""
    return {key: held for key, held in found.items() if key.startswith(b"hr:default:") and key != b"hr:default:models"}


async def backed_up(client: Redis, folder: Path, log: Cluster, online: bool = False) -> Manifest:
    ends = {topic.name: dict(log.ends(topic.name)) for topic in ServingSink.inputs}
    tables = copy_tables(log, PIPELINE.tables, folder)
    places, files = await copy_redis(client, folder, online, lambda _: None)
    return finish(folder, files | tables, RedisPart("7", places, ends), None)


async def brought_back(client: Redis, folder: Path, log: Any) -> None:
    def begins(processor: Any, task: str) -> Any:
        return begin_of(folder, processor, task)

    manifest = verified(folder, lambda _: None)
    rolled = rolled_forward(PIPELINE, log, EDGE, begins, lambda _: None)
    await restore_redis(client, folder, manifest, lambda _: None)
    await rolled_on(client, log, rolled, {} if manifest.redis is None else manifest.redis.ends)


async def rolled_on(client: Redis, log: Any, rolled: Any, ends: Any) -> None:
    for task in rolled:
        await write_rolled(client, task)
    await serve_again(client, log, ends, lambda _: None)
    await mark_finished(client)


def states(found: dict[bytes, tuple[str, Any]]) -> dict[bytes, bytes]:
    return {key: held[0] for key, (_, held) in found.items() if b"}:state:" in key}


def replayed(log: Cluster) -> dict[bytes, bytes]:
    """Return the states that a clean replay of the journal comes to, by their keys in Redis."""
    journal = JournalReplay(PIPELINE, log, EDGE)
    for _ in journal.records():
        pass
    found = encoded(journal.tasks)
    return {f"hr:{{{task}}}:state:{key}".encode(): state for task, of in found.items() for key, state in of.items()}


def assert_said_once(log: Cluster) -> None:
    ids = [said.id for raw in log.all_of(SCORES.name) if (said := origin(raw.headers))]
    payments = {TRANSACTIONS.decode(raw.value).event_id for raw in log.all_of(TRANSACTIONS.name)}
    assert len(ids) == len(set(ids)) == len(payments)


def again(log: Any, *scores: FraudScore, **known: Any) -> list[Any]:
    return [each.differing for each in DecisionReplay(SOON_READY, log, EDGE, **known).scores(scores)]


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


@pytest.mark.live
def test_what_was_flushed_is_brought_back_byte_for_byte(url: str, tmp_path: Path) -> None:
    async def test() -> None:
        log, events = Cluster(), list(simulate(WORLD))
        async with emptied(url) as client:
            await live(client, log, events)
            before = await contents(client)
            manifest = await backed_up(client, tmp_path, log)
            rows = [mark.rows for name, mark in manifest.files.items() if name.startswith("redis/")]
            assert sum(rows) == len(before) > 500
            await client.flushdb()
            await brought_back(client, tmp_path, log)
            assert await contents(client) == before

    run(test())


@pytest.mark.live
def test_an_old_backup_is_rolled_forward_to_where_workers_were_and_they_go_on(url: str, tmp_path: Path) -> None:
    async def test() -> None:
        log, events = Cluster(), list(simulate(WORLD))
        third = len(events) // 3
        async with emptied(url) as client:
            await live(client, log, events[:third])
            await backed_up(client, tmp_path, log)
            await live(client, log, events[third : 2 * third])
            before = await contents(client)
            await client.flushdb()
            await brought_back(client, tmp_path, log)
            after = await contents(client)
            assert kept(after) == kept(before)
            assert results(after) == results(before)
            await live(client, log, events[2 * third :])
            assert states(await contents(client)) == replayed(log)
        assert_said_once(log)

    run(test())


@pytest.mark.live
def test_an_empty_redis_is_rebuilt_from_the_log_alone(url: str) -> None:
    async def test() -> None:
        log, events = Cluster(), list(simulate(WORLD))
        async with emptied(url) as client:
            await live(client, log, events[: len(events) // 2])
            before = await contents(client)
            await client.flushdb()
            rolled = rolled_forward(PIPELINE, log, EDGE, from_nothing, lambda _: None)
            await rolled_on(client, log, rolled, {})
            after = await contents(client)
            assert kept(after) == kept(before)
            assert results(after) == results(before)
            await live(client, log, events[len(events) // 2 :])
            assert states(await contents(client)) == replayed(log)
        assert_said_once(log)

    run(test())


@pytest.mark.live
def test_a_decision_is_replayed_from_a_backup_when_the_log_has_forgotten_its_beginning(
    url: str, tmp_path: Path
) -> None:
    async def test() -> None:
        log, events = Cluster(), list(simulate(WORLD))
        async with emptied(url) as client:
            late = len(events) * 3 // 4
            await live(client, log, events[:late], SOON_READY)
            await backed_up(client, tmp_path / "monday", log)
            ends, versions = log.ends(TRANSACTIONS.name), log.ends(MODELS.name)
            await live(client, log, events[late:], SOON_READY)
        newest = max((SCORES.decode(raw.value) for raw in log.all_of(SCORES.name)), key=lambda score: score.event_time)

        def young(raw: Stored) -> Stored | None:
            return raw if raw.offset >= min(ends.values()) // 2 else None

        expired = Altered(log, TRANSACTIONS, young)
        with pytest.raises(Unreplayable, match="--from DIR"):
            again(expired, newest)
        snapshots = snapshots_in(tmp_path, SOON_READY)
        assert again(expired, newest, snapshots=snapshots) == [()]
        compacted = Altered(log, MODELS, lambda raw: raw if raw.offset >= max(versions.values()) else None)
        assert again(compacted, newest, snapshots=snapshots) == [()]
        assert max(versions.values()) > 1

    run(test())


@pytest.mark.live
def test_a_task_that_moves_is_taken_from_its_owner_or_refused(url: str, tmp_path: Path) -> None:
    async def commit_on(store: RedisStore) -> None:
        claim = await store.claim(TASK)
        sequence = claim.sequence
        with suppress(Fenced):
            while True:
                sequence += 1
                await store.commit(TASK, claim.epoch, commit(sequence, states={f"k{sequence % 99}": b"%d" % sequence}))

    async def test() -> None:
        async with emptied(url) as client:
            owner = asyncio.create_task(commit_on(RedisStore(client)))
            while not await redis_copy.tasks_in(client):
                await asyncio.sleep(0)
            with pytest.raises(Moving, match="--online"):
                await copy_redis(client, tmp_path / "a", False, lambda _: None)
            places, _ = await copy_redis(client, tmp_path / "b", True, lambda _: None)
            await owner
            assert places[TASK] == await redis_copy.place_of(client, TASK)
            copied = {row.key: row.parts for row in rows_in(tmp_path / "b" / task_file(TASK), redis_copy.Row)}
            newest = max(int(parts[0]) for key, parts in copied.items() if b":state:" in key)
            assert newest == places[TASK].sequence

    run(test())


@pytest.mark.live
def test_state_that_is_being_replaced_is_not_backed_up(url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with emptied(url) as client:
            await mark_unfinished(client)
            with pytest.raises(BadBackup, match="being replaced"):
                await copy_redis(client, tmp_path, False, lambda _: None)

    run(test())


@pytest.mark.live
def test_what_expires_still_does_and_what_has_expired_stays_away(url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with emptied(url) as client:
            await client.set("hr:default:score:a", "1", px=60_000)
            await client.set("hr:default:score:b", "2")
            rows = [row async for found in redis_copy.result_rows(client) for row in found]
            await client.flushdb()
            expired = [msgspec.structs.replace(row, key=row.key + b"-old", expires_at=1_000) for row in rows]
            await redis_copy.write_rows(client, [*rows, *expired])
            assert sorted(await client.keys("*")) == [b"hr:default:score:a", b"hr:default:score:b"]
            assert 0 < await client.pttl("hr:default:score:a") <= 60_000
            assert await client.pttl("hr:default:score:b") == -1

    run(test())


@pytest.mark.live
def test_state_of_another_cluster_is_refused(url: str, tmp_path: Path) -> None:
    async def test() -> None:
        log = Cluster()
        async with emptied(url) as client:
            await live(client, log, list(simulate(WORLD))[:300])
            await backed_up(client, tmp_path, log)
            before = await contents(client)
            other = Cluster()
            other._logs.update({at: records for at, records in log._logs.items() if at[0] != TRANSACTIONS.name})
            with pytest.raises(Unreplayable, match="another cluster"):
                await brought_back(client, tmp_path, other)
            assert await contents(client) == before

    run(test())


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Return a backup of one file."""
    with new_file(tmp_path / "redis" / "results.rows") as file:
        file.append(redis_copy.Row(b"hr:a", "string", 0, [b"1"]))
    finish(tmp_path, {"redis/results.rows": file.mark}, None, None)
    return tmp_path


def test_a_backup_is_verified_before_it_is_believed(backup: Path) -> None:
    assert verified(backup, lambda _: None).files["redis/results.rows"].rows == 1
    path = backup / "redis" / "results.rows"
    path.write_bytes(path.read_bytes().replace(b"hr:a", b"hr:b"))
    with pytest.raises(BadBackup, match="not what was written"):
        verified(backup, lambda _: None)
    path.unlink()
    with pytest.raises(BadBackup, match="is missing"):
        verified(backup, lambda _: None)


def test_only_its_owner_can_read_a_backup(backup: Path) -> None:
    assert {path.stat().st_mode & 0o077 for path in backup.rglob("*") if path.is_file()} == {0}


def test_a_manifest_that_is_broken_or_of_another_format_is_refused(backup: Path) -> None:
    manifest = msgspec.json.decode((backup / MANIFEST).read_bytes())
    (backup / MANIFEST).write_bytes(msgspec.json.encode(manifest | {"format": 9}))
    with pytest.raises(BadBackup, match="of format 9"):
        verified(backup, lambda _: None)
    (backup / MANIFEST).write_bytes(b"{")
    with pytest.raises(BadBackup, match="cannot be read"):
        verified(backup, lambda _: None)


def test_a_folder_without_a_manifest_is_no_backup(backup: Path) -> None:
    (backup / MANIFEST).unlink()
    with pytest.raises(BadBackup, match="broken off"):
        verified(backup, lambda _: None)
    with pytest.raises(BadBackup, match="no backup in"):
        snapshots_in(backup, PIPELINE)


def test_a_backup_takes_no_folder_that_holds_anything(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(BadBackup, match="not empty"):
        refuse_used(backup)
    refuse_used(tmp_path / "new")
