"""A worker that would break its promises does not start, and says why and what to do."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions
from pydantic import SecretStr
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from schemas.records import AnyTopic
from sinks.connection import connect
from sinks.earlier import mark_finished, mark_unfinished
from sinks.partitions import PARTITIONS, agree_on_partitions
from streams import topic_admin
from streams.pipeline import Pipeline
from streams.preflight import NotReady, refuse_unfinished, refuse_unready
from streams.settings import Settings
from streams.topic_admin import KafkaAway, create_topics, delete_topics
from tests.contracts import pipelines as small

pytestmark = pytest.mark.live


class Joiner(small.Counter):
    """A processor of two inputs."""

    def __init__(self, *inputs: AnyTopic) -> None:
        self.inputs = inputs


def pipeline(name: str, *, inputs: int = 1) -> Pipeline:
    """Return a pipeline over topics of a test's own, two partitions each."""
    topics = [replace(small.VISITS, name=f"preflight.{name}.{n}", partitions=2) for n in range(inputs)]
    return Pipeline((Joiner(*topics),))


@pytest.fixture
def settings(kafka: str, redis_url: str) -> Iterator[Settings]:
    """Return settings with which a worker may start, in a database of this module's own."""
    redis = f"{redis_url.rpartition('/')[0]}/6"
    secret = SecretStr("a secret of our own")
    yield Settings(kafka=kafka, redis=redis, secret=secret, group=f"preflight-{uuid4()}")
    with Redis.from_url(redis) as client:
        client.flushdb()


@pytest.fixture
def created(kafka: str) -> Iterator[Pipeline]:
    """Return a pipeline whose two topics exist, until the end of the test."""
    found = pipeline("created", inputs=2)
    create_topics(kafka, found.sources)
    yield found
    delete_topics(kafka, [topic.name for topic in found.sources])


def test_a_worker_with_all_it_needs_may_start_again_and_again(created: Pipeline, settings: Settings) -> None:
    refuse_unready(created, settings)
    refuse_unready(created, settings)
    with Redis.from_url(settings.redis) as client:
        assert client.hgetall(PARTITIONS) == {b"preflight.created.0": b"2", b"preflight.created.1": b"2"}


def test_the_secret_for_development_is_refused_unless_all_may_be_thrown_away(
    created: Pipeline, settings: Settings
) -> None:
    known = Settings(kafka=settings.kafka, redis=settings.redis)
    with pytest.raises(NotReady, match=r"HEADRACE_SECRET is not set.*openssl rand -hex 32"):
        refuse_unready(created, known)
    refuse_unready(created, known.model_copy(update={"throw_away": True}))


def test_a_redis_that_may_evict_is_refused_unless_all_may_be_thrown_away(created: Pipeline, settings: Settings) -> None:
    with Redis.from_url(settings.redis) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(NotReady, match=r"allkeys-lru may evict keys.*noeviction.*HEADRACE_THROW_AWAY=1"):
                refuse_unready(created, settings)
            refuse_unready(created, settings.model_copy(update={"throw_away": True}))
        finally:
            client.config_set("maxmemory-policy", "noeviction")


def test_a_missing_topic_is_named(settings: Settings) -> None:
    with pytest.raises(NotReady, match=r"there is no topic preflight.missing.0 .*headrace topics create"):
        refuse_unready(pipeline("missing"), settings)


def test_topics_that_are_joined_have_the_same_partitions(created: Pipeline, settings: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    admin.create_partitions([NewPartitions("preflight.created.1", 3)])["preflight.created.1"].result(10)
    with pytest.raises(NotReady, match=r"counter joins .*: preflight.created.0 has 2, preflight.created.1 has 3"):
        refuse_unready(created, settings)


def test_state_of_other_partitions_is_refused(created: Pipeline, settings: Settings) -> None:
    refuse_unready(created, settings)
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    for name in ("preflight.created.0", "preflight.created.1"):
        admin.create_partitions([NewPartitions(name, 4)])[name].result(10)
    with pytest.raises(NotReady, match=r"preflight.created.0 has 2, .* has 4.*To rebuild: stop all workers"):
        refuse_unready(created, settings)


def test_a_redis_that_has_forgotten_what_was_read_is_refused(created: Pipeline, settings: Settings) -> None:
    """Workers would score from nothing, and say under old numbers what their readers take for repeats."""
    refuse_unready(created, settings)
    topic = created.sources[0].name
    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": settings.group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    with pytest.raises(NotReady, match="Redis holds no state at all, but workers of group"):
        refuse_unready(created, settings)
    refuse_unready(created, settings.model_copy(update={"group": "another"}))
    with Redis.from_url(settings.redis) as client:
        client.hset(f"hr:{{{created.processors[0].name}/1}}:checkpoint", "sequence", 3)
    refuse_unready(created, settings)
    consumer.close()


def test_state_that_is_half_written_is_refused(settings: Settings) -> None:
    async def mark(as_it_is: Callable[[AsyncRedis], Awaitable[None]]) -> None:
        async with connect(settings.redis) as client:
            await as_it_is(client)

    asyncio.run(mark(mark_unfinished))
    with pytest.raises(NotReady, match="run it again with --force"):
        refuse_unfinished(settings)
    asyncio.run(mark(mark_finished))
    refuse_unfinished(settings)


def test_the_first_to_note_a_partition_count_wins(settings: Settings) -> None:
    async def noted() -> list[dict[str, int]]:
        async with connect(settings.redis) as client:
            return [await agree_on_partitions(client, {"a": 1}), await agree_on_partitions(client, {"a": 2, "b": 3})]

    assert asyncio.run(noted()) == [{"a": 1}, {"a": 1, "b": 3}]


def test_a_broker_that_is_away_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_admin, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(KafkaAway, match=r"no Kafka broker answers at 127.0.0.1:1"):
        refuse_unready(pipeline("away"), settings.model_copy(update={"kafka": "127.0.0.1:1"}))


def test_the_command_tells_the_reason_and_fails() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    command = [sys.executable, "-m", "streams", "worker"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 1
    assert told.stderr.startswith("HEADRACE_SECRET is not set: it signs models")
    assert "Traceback" not in told.stderr
