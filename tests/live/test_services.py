"""Kafka and Redis as ordinary processes: started, found again, restarted with their data, ended."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.services.errors import ServiceFailed
from streams.services.supervisor import Endpoints, Part, down, status, up

pytestmark = pytest.mark.live


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    down(tmp_path)


def kill(folder: Path, part: Part) -> None:
    pid = status(folder)[part].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def client(url: str | None) -> redis.Redis:
    assert url is not None
    return redis.Redis.from_url(url)


def test_redis_is_durable_and_never_evicts(redis_url: str) -> None:
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    with client(redis_url) as connection:
        told = {name: connection.config_get(name)[name] for name in wanted}
    assert told == wanted


def test_up_twice_reuses_what_runs(folder: Path) -> None:
    first = up(folder, [Part.REDIS])
    pid = status(folder)[Part.REDIS].pid
    assert up(folder, [Part.REDIS]) == first
    assert status(folder)[Part.REDIS].pid == pid


def test_a_part_not_asked_for_has_no_address_and_does_not_run(folder: Path) -> None:
    endpoints = up(folder, [Part.REDIS])
    assert (endpoints.kafka, endpoints.clickhouse) == (None, None)
    assert not status(folder)[Part.KAFKA].running


def test_data_survive_down_and_up_at_the_same_address(folder: Path) -> None:
    before = up(folder, [Part.REDIS])
    with client(before.redis) as connection:
        connection.set("kept", "value")
    assert down(folder) == ("redis",)
    assert up(folder, [Part.REDIS]) == before
    with client(before.redis) as connection:
        assert connection.get("kept") == b"value"


def test_a_killed_service_is_seen_and_comes_back_at_its_address(folder: Path) -> None:
    before = up(folder, [Part.REDIS])
    kill(folder, Part.REDIS)
    health = status(folder)[Part.REDIS]
    assert (health.running, health.ready, health.address, health.pid) == (False, False, None, None)
    assert up(folder, [Part.REDIS]) == before


def test_a_service_takes_another_port_when_its_old_one_is_taken(folder: Path) -> None:
    before = up(folder, [Part.REDIS])
    down(folder)
    assert before.redis is not None
    port = int(before.redis.rpartition(":")[2].removesuffix("/0"))
    with socket.create_server(("127.0.0.1", port)):
        assert up(folder, [Part.REDIS]) != before


def test_down_ends_only_what_up_started(folder: Path) -> None:
    assert down(folder) == ()
    up(folder, [Part.REDIS])
    assert down(folder, [Part.KAFKA]) == ()
    assert status(folder)[Part.REDIS].ready
    assert down(folder) == ("redis",)
    assert down(folder) == ()


def test_a_service_that_dies_at_start_says_why(folder: Path) -> None:
    up(folder, [Part.REDIS])
    down(folder)
    for file in (folder / "redis").rglob("*.aof*"):
        file.write_text("not what Redis writes")
    with pytest.raises(ServiceFailed, match=r"redis did not come up(.|\n)*(append only|AOF)"):
        up(folder, [Part.REDIS])
    assert not status(folder)[Part.REDIS].running


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "message.max.bytes": 33_000_000})
    producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error) if error else None)
    assert producer.flush(30) == 0
    assert failures == []


def consume_one(bootstrap: str, topic: str) -> bytes:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        return bytes(message.value() or b"")
    finally:
        consumer.close()


def test_a_kafka_record_survives_kill_and_restart_of_the_broker(kafka: str, services_folder: Path) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic("kept", num_partitions=1)])["kept"].result(30)
    produce(kafka, "kept", b"value")
    kill(services_folder, Part.KAFKA)
    assert up(services_folder, [Part.KAFKA]) == Endpoints(kafka=kafka)
    assert consume_one(kafka, "kept") == b"value"


def test_kafka_takes_a_message_of_thirty_megabytes(kafka: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic("large", num_partitions=1)])["large"].result(30)
    produce(kafka, "large", bytes(30_000_000))
    assert len(consume_one(kafka, "large")) == 30_000_000


def test_a_topic_is_created_by_asking_only(kafka: str) -> None:
    topics = AdminClient({"bootstrap.servers": kafka}).list_topics("never-created", timeout=10).topics
    assert topics["never-created"].error is not None
