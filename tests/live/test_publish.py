"""Files published to a real broker: all of it, once, in order, with its labels and its envelope."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import monotonic

import pytest
import typer
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from typer.testing import CliRunner, Result

from schemas.cloudevents import read
from schemas.records import DAY, AnyRecord, Record
from schemas.topics import ALL, FEEDBACK, MODELS, TRANSACTIONS
from streams.commands import topics
from streams.commands.publish import publish_command
from streams.deliveries import Undelivered
from streams.publish import Pace, Published, publish
from streams.services.supervisor import Part, down, up
from streams.simulator import World, simulate
from streams.topic_admin import KafkaAway, WrongPartitions, create_topics, list_topics

pytestmark = pytest.mark.live

MAPPING = Path(__file__).parents[2] / "examples" / "mappings" / "card_transactions.yaml"
publishing = typer.Typer()
publishing.command()(publish_command)


@pytest.fixture(scope="module")
def broker(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a broker of this module's own, since it uses the real topics; `kafka` says whether one can run here."""
    folder = tmp_path_factory.mktemp("publish")
    address = up(folder, (Part.KAFKA,)).kafka
    assert address is not None
    yield address
    down(folder)


def consumed(bootstrap: str, topic: str) -> list[Message]:
    """Return everything in a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    starts = [TopicPartition(topic, partition, 0) for partition in partitions]
    wanted = sum(consumer.get_watermark_offsets(start, timeout=10)[1] for start in starts)
    consumer.assign(starts)
    found: list[Message] = []
    deadline = monotonic() + 30
    while len(found) < wanted and monotonic() < deadline:
        found += consumer.consume(wanted - len(found), timeout=1)
    consumer.close()
    return found


def renamed(records: Sequence[AnyRecord], name: str) -> list[AnyRecord]:
    """Return the records of one topic as records of a topic of another name."""
    topic = replace(records[0].topic, name=name)
    return [Record(topic, record.message, record.id, 0, record.offset) for record in records]


def payments(number: int, name: str) -> list[AnyRecord]:
    transactions = (record for record in simulate(World(customers=50, days=30)) if record.topic is TRANSACTIONS)
    return renamed(list(islice(transactions, number)), name)


def handbook(folder: Path, rows: int = 3) -> Path:
    path = folder / "card.csv"
    lines = [f"{n},2026-01-01 00:00:0{n},c{n % 2},t1,{n}.50,{int(n == 0)}" for n in range(rows)]
    path.write_text("\n".join(["TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD", *lines]))
    return path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(publishing, list(arguments))


def test_every_record_arrives_once_and_in_order_of_its_key(broker: str) -> None:
    sent = payments(2_000, "whole")
    create_topics(broker, [sent[0].topic])
    told = publish(sent, broker)
    assert (told.records, told.topics, told.event_time) == (2_000, {"whole": 2_000}, max(r.time for r in sent))
    found = consumed(broker, "whole")
    assert sorted(message.value() for message in found) == sorted(r.topic.encode(r.message) for r in sent)
    for key in {record.key for record in sent}:
        arrived = [json.loads(message.value())["event_id"] for message in found if message.key() == key.encode()]
        assert arrived == [record.id for record in sent if record.key == key]


def test_the_envelope_says_what_it_is_and_whence(broker: str) -> None:
    (sent,) = payments(1, "enveloped")
    create_topics(broker, [sent.topic])
    publish([sent], broker, source="/files/day.csv")
    (found,) = consumed(broker, "enveloped")
    envelope = read(found.headers())
    assert (envelope.id, envelope.source, envelope.type) == (sent.id, "/files/day.csv", "headrace.enveloped")
    assert envelope.record_id(sent.id) == sent.id


def test_a_rate_is_kept_and_progress_is_told(broker: str) -> None:
    sent = payments(30, "paced")
    create_topics(broker, [sent[0].topic])
    told: list[Published] = []
    assert publish(sent, broker, pace=Pace(rate=200), progress=told.append).seconds >= 29 / 200
    assert told[0].records == 1


def test_what_the_broker_refuses_is_said(broker: str) -> None:
    small = NewTopic("small", num_partitions=1, config={"max.message.bytes": "100"})
    admin = AdminClient({"bootstrap.servers": broker})
    admin.create_topics([small])["small"].result(30)
    with pytest.raises(Undelivered, match=r"1 of 1 records did not reach the broker: .*large"):
        publish(payments(1, "small"), broker)


def test_what_no_broker_could_take_is_said(broker: str) -> None:
    (sent,) = payments(1, "whole")
    huge = sent.message.model_copy(update={"channel": "x" * 33 * 1024 * 1024})
    with pytest.raises(Undelivered, match="cannot be sent to whole"):
        publish([Record(sent.topic, huge, "huge")], broker)


def test_the_command_publishes_transactions_and_their_labels(broker: str, tmp_path: Path) -> None:
    common = ("--as", "transactions", "--map", str(MAPPING), "--label-delay", "7d", "--kafka", broker)
    told = run(str(handbook(tmp_path)), *common, "--json")
    assert told.exit_code == 0, told.stderr
    summary = json.loads(told.stdout)
    assert (summary["records"], summary["topics"]) == (4, {"transactions": 3, "feedback": 1})
    (label,) = consumed(broker, "feedback")
    assert FEEDBACK.decode(label.value()).time_ms() == 1_767_225_600_000 + 7 * DAY
    times = [TRANSACTIONS.decode(message.value()).time_ms() for message in consumed(broker, "transactions")]
    assert sorted(times) == [1_767_225_600_000 + 1000 * n for n in range(3)]


def test_the_command_tells_people_what_was_published_and_refused(broker: str, tmp_path: Path) -> None:
    path = tmp_path / "profiles.jsonl"
    path.write_text('{"event_id":"a","event_time":1,"user":"u"}\n{"event_id":"b"}\n')
    told = run(str(path), "--as", "profiles", "--kafka", broker)
    assert told.exit_code == 0
    assert "1 on profiles" in told.stdout
    assert "1 rows were refused; the first: row 1: missing_field: event_time is required" in told.stdout


def test_a_file_of_nothing_but_refusals_is_a_failure(broker: str, tmp_path: Path) -> None:
    path = tmp_path / "profiles.jsonl"
    path.write_text('{"event_id":"b"}\n')
    told = run(str(path), "--as", "profiles", "--kafka", broker, "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["refused"] == 1


def test_topics_are_created_as_declared_and_only_once(broker: str) -> None:
    create_topics(broker)
    assert create_topics(broker) == []
    assert all(state.found == state.partitions for state in list_topics(broker))
    resource = ConfigResource(ResourceType.TOPIC, MODELS.name)
    admin = AdminClient({"bootstrap.servers": broker})
    config = admin.describe_configs([resource])[resource].result(10)
    assert config["cleanup.policy"].value == "compact"
    assert config["max.message.bytes"].value == str(32 * 1024 * 1024)


def test_a_topic_with_other_partitions_is_refused_and_nothing_created(broker: str) -> None:
    sent = payments(1, "narrow")[0].topic
    other = replace(sent, name="beside")
    create_topics(broker, [sent])
    with pytest.raises(WrongPartitions, match="narrow has 4 partitions, not 8"):
        create_topics(broker, [other, replace(sent, partitions=8)])
    assert list_topics(broker, [other])[0].found is None
    assert list_topics(broker, [replace(sent, partitions=8)])[0].found == 4


def test_more_replicas_than_brokers_are_refused(broker: str) -> None:
    with pytest.raises(KafkaAway, match="copied cannot be created"):
        create_topics(broker, [replace(TRANSACTIONS, name="copied")], replication=3)


def test_the_topics_command_tells_what_is_there(broker: str) -> None:
    created = CliRunner().invoke(topics.commands, ["create", "--kafka", broker])
    assert created.exit_code == 0
    told = CliRunner().invoke(topics.commands, ["list", "--kafka", broker, "--json"])
    assert {state["name"]: state["found"] for state in json.loads(told.stdout)["topics"]} == {
        topic.name: topic.partitions for topic in ALL
    }
    assert CliRunner().invoke(topics.commands, ["create", "--kafka", broker]).stdout == "all topics are there\n"
    assert "transactions" in CliRunner().invoke(topics.commands, ["list", "--kafka", broker]).stdout
    again = CliRunner().invoke(topics.commands, ["create", "--kafka", broker, "--json"])
    assert json.loads(again.stdout) == {"created": []}
