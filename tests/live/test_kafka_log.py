"""What stands in Kafka is read again from any offset, followed as a table, and produced with every report checked."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from schemas.records import AnyTopic
from streams import deliveries
from streams.deliveries import Deliveries, Undelivered
from streams.kafka_log import READ_AHEAD, KafkaLog
from streams.outbox import Outbound, origin
from streams.table_reader import TableReader
from streams.topic_admin import delete_topics
from tests.contracts import pipelines as small
from tests.live.workers import closing_log, until

pytestmark = pytest.mark.live


@pytest.fixture
def topic(kafka: str, request: pytest.FixtureRequest) -> Iterator[AnyTopic]:
    """Return a table of this test's own, with two partitions, until the test ends."""
    name = f"log.{request.node.name}"[:200]
    created = NewTopic(name, num_partitions=2, config={"cleanup.policy": "compact"})
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([created])[name].result(10)
    until(lambda: name in admin.list_topics(timeout=10).topics)
    yield replace(small.PRICES, name=name)
    delete_topics(kafka, [name])


def produce(kafka: str, topic: AnyTopic, values: list[bytes | None], partition: int = 0, **options: str) -> Producer:
    producer = Producer({"bootstrap.servers": kafka, **options})
    if options:
        producer.init_transactions(30)
        producer.begin_transaction()
    for value in values:
        producer.produce(topic.name, value, b"tea", partition)
    assert producer.flush(30) == 0
    return producer


def price(cents: int) -> bytes:
    return small.PRICES.encode(small.Price("p", 0, "tea", cents))


def values(log: KafkaLog, topic: AnyTopic, first: int, last: int, partition: int = 0) -> list[bytes | None]:
    return [record.value for record in log.read(topic.name, partition, first, last)]


def test_runs_are_read_in_whatever_order_they_are_asked_for(kafka: str, topic: AnyTopic) -> None:
    number = 2 * READ_AHEAD + 7
    produce(kafka, topic, [b"%d" % n for n in range(number)])
    produce(kafka, topic, [b"other"], partition=1)
    with closing_log(kafka) as log:
        assert log.ends(topic.name) == {0: number, 1: 1}
        for first, last in ((0, 3), (4, 4), (5, READ_AHEAD + 2), (2, 2), (number - 2, number + 50), (0, number)):
            expected = [b"%d" % n for n in range(first, min(last + 1, number))]
            assert values(log, topic, first, last) == expected
            assert values(log, topic, 0, 0, partition=1) == [b"other"]


def test_offsets_without_records_are_passed_over(kafka: str, topic: AnyTopic) -> None:
    """Markers of transactions take offsets, and what was aborted is not there."""
    produce(kafka, topic, [b"a", b"b"], **{"transactional.id": "kept"}).commit_transaction(30)
    produce(kafka, topic, [b"never"], **{"transactional.id": "aborted"}).abort_transaction(30)
    produce(kafka, topic, [b"c"])
    with closing_log(kafka) as log:
        assert log.ends(topic.name)[0] == 6
        assert values(log, topic, 1, 5) == [b"b", b"c"]
        assert values(log, topic, 2, 4) == []
        assert values(log, topic, 0, 0) == [b"a"]


def test_a_topic_that_is_not_there_is_said(kafka: str) -> None:
    with closing_log(kafka) as log, pytest.raises(KafkaException, match="Unknown topic"):
        log.ends("log.nowhere")


def test_a_table_is_read_to_its_end_and_followed(kafka: str, topic: AnyTopic) -> None:
    """It ends with a transaction's marker, which is no record to wait for."""
    produce(kafka, topic, [price(1), price(2)], **{"transactional.id": "prices"}).commit_transaction(30)
    reader = TableReader(kafka, (topic,), lambda key, why: None)
    reader.read_all()
    contents = reader.contents
    assert (contents.tables[topic]["tea"].cents, contents.positions[topic.name]) == (2, {0: 1})
    produce(kafka, topic, [b"visit", price(3)], partition=1)
    until(lambda: reader.advance() or contents.tables[topic]["tea"].cents == 3)
    until(lambda: not reader.advance() and contents.tables[topic]["tea"].cents == 3)
    reader.close()
    assert not reader.advance()


def test_a_table_without_topic_is_said(kafka: str) -> None:
    reader = TableReader(kafka, (replace(small.PRICES, name="log.nowhere"),), lambda key, why: None)
    with pytest.raises(KafkaException, match="Unknown topic"):
        reader.read_all()
    reader.close()


def said(topic: AnyTopic, *messages: bytes) -> list[Outbound]:
    return [Outbound(topic.name, "tea", value, f"id-{n}", 7, 7, False) for n, value in enumerate(messages)]


def test_everything_a_commit_said_is_in_the_log_once_it_is_delivered(kafka: str, topic: AnyTopic) -> None:
    async def scene() -> None:
        producer = Deliveries(kafka)
        await producer.produce("till/0", 3, [])
        await producer.produce("till/0", 3, said(topic, b"a", b"b"))
        producer.close()

    asyncio.run(scene())
    with closing_log(kafka) as log:
        found = [each for at, end in log.ends(topic.name).items() for each in log.read(topic.name, at, 0, end - 1)]
    places = [where for each in found if (where := origin(each.headers)) is not None]
    assert [(each.value, each.key) for each in found] == [(b"a", b"tea"), (b"b", b"tea")]
    assert [(where.task, where.sequence, where.n, where.id) for where in places] == [
        ("till/0", 3, 0, "id-0"),
        ("till/0", 3, 1, "id-1"),
    ]


def test_what_the_broker_never_takes_is_said(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "CLOSING_SECONDS", 0)

    async def scene(value: bytes) -> None:
        producer = Deliveries(kafka, timeout_ms=500)
        try:
            await producer.produce("till/0", 1, said(replace(small.PRICES, name="log.nowhere"), value))
        finally:
            producer.close()

    with pytest.raises(Undelivered, match=r"not taken all that till/0 said within 0.5 s"):
        asyncio.run(scene(b"x"))
    with pytest.raises(Undelivered, match=r"log.nowhere: id-0 cannot be produced"):
        asyncio.run(scene(b"x" * 40_000_000))
