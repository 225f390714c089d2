"""A real worker that stands still makes real answers stale; one that is only not given anything does not."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Producer
from redis.asyncio import Redis

from api.app import create_app, wall_clock_ms
from api.backlog import Backlog, Place, Reading
from schemas.records import AnyRecord
from schemas.topics import TRANSACTIONS
from sinks.base import SinkBusy
from sinks.connection import connect
from sinks.serving import Reader
from streams.assembly import pipeline
from streams.publish import publish
from streams.settings import Settings
from streams.simulator import World, simulate
from streams.topic_admin import create_topics, delete_topics
from streams.unread import Unread
from tests.live.workers import Stage, staged

pytestmark = [pytest.mark.live, pytest.mark.anyio]

FRAUD = pipeline(Settings(pipelines=("fraud",)))
GENEROUS_MS = 10_000
"""How long a flip may take on a machine with other things to do; without them it takes less than two seconds."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def stage(folder: Path) -> Iterator[Stage]:
    with staged(folder, FRAUD, {"pipelines": "fraud"}) as stage:
        yield stage


@asynccontextmanager
async def calling(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    redis: Redis = connect(stage.redis)
    app = create_app(Reader(connect(stage.redis)), log=Unread(FRAUD, stage.broker, redis))
    backlog: Backlog = app.state.backlog
    watching = asyncio.create_task(backlog.watch())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://headrace") as client:
        yield client
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    await redis.aclose()


async def answer(client: httpx.AsyncClient, path: str, wanted: Callable[[Any], bool]) -> Any:
    """Return an answer as soon as it is as wanted."""
    async with asyncio.timeout(60):
        while not (said := await client.get(path)).is_success or not wanted(said.json()):
            await asyncio.sleep(0.02)
    return said.json()


def payments(count: int) -> list[AnyRecord]:
    world = World(customers=20, terminals=10, days=30)
    return list(islice((each for each in simulate(world) if each.topic is TRANSACTIONS), count))


async def test_answers_flip_when_a_worker_stands_still_and_back_when_it_goes_on(stage: Stage) -> None:
    records = payments(120)
    path = f"/scores/{records[99].id}"
    with stage.worker() as worker:
        async with calling(stage) as client:
            publish(records[:100], stage.broker)
            fresh = await answer(client, path, lambda said: said["lag"] == {"ms": 0, "records": 0})
            worker.process.send_signal(signal.SIGSTOP)
            paused_at = wall_clock_ms()
            publish(records[100:], stage.broker)
            stale = await answer(client, path, lambda said: said["stale"])
            flipped_after = wall_clock_ms() - paused_at
            worker.process.send_signal(signal.SIGCONT)
            again = await answer(client, path, lambda said: said["lag"] == {"ms": 0, "records": 0})
    assert (fresh["stale"], fresh["source"]) == (again["stale"], again["source"]) == (False, "rules")
    assert (stale["source"], stale["lag"]["records"]) == ("last_good", 20)
    assert flipped_after <= GENEROUS_MS


async def test_a_worker_that_is_gone_makes_nothing_stale_until_something_waits(stage: Stage) -> None:
    records = payments(101)
    path = f"/scores/{records[0].id}"
    async with calling(stage) as client:
        with stage.worker() as worker:
            publish(records[:100], stage.broker)
            await answer(client, path, lambda said: said["lag"] == {"ms": 0, "records": 0})
            worker.kill()
        quiet = await answer(client, path, lambda said: said["ages"]["commit_ms"] > 2_000)
        publish(records[100:], stage.broker)
        behind = await answer(client, path, lambda said: said["stale"])
    assert (quiet["stale"], quiet["lag"]) == (False, {"ms": 0, "records": 0})
    assert behind["lag"]["records"] == 1


async def test_topics_that_are_not_there_have_no_places(kafka: str, redis_url: str) -> None:
    redis = connect(redis_url)
    unread, found = Unread(FRAUD, kafka, redis), None
    async with asyncio.timeout(60):
        while found is None:
            with suppress(SinkBusy):  # a broker is slow to answer who asks first
                found = await unread.places()
    await redis.aclose()
    assert found == {}


async def test_the_end_of_a_transaction_is_nothing_that_waits(kafka: str, redis_url: str) -> None:
    create_topics(kafka, [TRANSACTIONS])
    records = payments(1)
    (partition,) = in_a_transaction(kafka, records)
    reading, key = Reading("features", TRANSACTIONS.name, partition), f"hr:{{features/{partition}}}:checkpoint"
    async with aclosing(connect(redis_url)) as redis:
        await redis.hset(key, "offsets", f'[["transactions", {partition}, 0]]')
        unread = Unread(FRAUD, kafka, redis)
        assert await seen(unread, reading, lambda place: place.end == 2 == place.next) == Place(2, 2)
        in_a_transaction(kafka, records)
        assert await seen(unread, reading, lambda place: place.end == 4) == Place(1, 4)
        assert [(await unread.places())[reading] for _ in range(3)] == [Place(1, 4)] * 3
        await redis.delete(key)
    delete_topics(kafka, [TRANSACTIONS.name])


async def seen(unread: Unread, reading: Reading, so: Callable[[Place], bool]) -> Place:
    """Return a place at the first look that finds it so; a broker is slow to answer who asks first."""
    async with asyncio.timeout(60):
        while True:
            with suppress(SinkBusy):
                if so(place := (await unread.places())[reading]):
                    return place


def in_a_transaction(kafka: str, records: list[AnyRecord]) -> list[int]:
    """Publish records as an app that writes in transactions does; return the partition of each."""
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": "an-app"})
    producer.init_transactions(30)
    producer.begin_transaction()
    placed: list[int] = []
    for each in records:
        producer.produce(
            each.topic.name,
            each.topic.encode(each.message),
            each.key.encode(),
            on_delivery=lambda _, message: placed.append(message.partition()),
        )
    producer.flush(30)
    producer.commit_transaction(30)
    return placed


async def test_a_broker_or_a_store_that_is_away_is_told(kafka: str, redis_url: str) -> None:
    for broker, store in (("127.0.0.1:1", redis_url), (kafka, "redis://127.0.0.1:1/0")):
        redis = connect(store)
        with pytest.raises(SinkBusy):
            await Unread(FRAUD, broker, redis).places()
        await redis.aclose()
