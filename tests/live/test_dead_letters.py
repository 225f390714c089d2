"""Dead letters are listed with their reasons, opened on demand, and go back byte for byte."""

import json
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from typer.testing import CliRunner, Result

from schemas.privacy import Tokeniser
from schemas.topics import DEAD_LETTERS, FEEDBACK, TRANSACTIONS
from streams.inbound import Edge
from streams.main import app
from streams.sealing import Seal
from streams.services.supervisor import Part, down, up
from streams.settings import Settings
from streams.topic_admin import create_topics

pytestmark = pytest.mark.live


class Raw:
    """A record as a Kafka client gives it."""

    timestamp = 1_530_446_400_000

    def __init__(self, offset: int, value: bytes | None, key: bytes | None = None) -> None:
        self.offset = offset
        self.value = value
        self.key = key
        self.headers = [("trace", b"\xff7")]


RAWS = (Raw(0, b"4111 is no JSON", b"ann"), Raw(1, None), Raw(2, b'{"amount": -1}', b""))


@pytest.fixture(scope="module")
def broker(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a broker of this module's own with three dead letters, one of them said twice."""
    folder = tmp_path_factory.mktemp("letters")
    address = up(folder, (Part.KAFKA,)).kafka
    assert address is not None
    create_topics(address)
    edge = Edge(Tokeniser({"1": b"key"}), Seal(Settings().key("dead-letters")))
    said = [inbound.record for inbound in edge.admit(TRANSACTIONS, 3, RAWS)]
    producer = Producer({"bootstrap.servers": address})
    for record in (*said, said[0]):
        producer.produce(DEAD_LETTERS.name, DEAD_LETTERS.encode(record.message), record.key.encode())
    assert producer.flush(30) == 0
    yield address
    down(folder)


@pytest.fixture(autouse=True)
def _configured(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KAFKA", broker)


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["dead-letters", *arguments])


def listed(*arguments: str) -> dict[str, dict[str, object]]:
    told = ask("list", "--json", *arguments)
    assert told.exit_code == 0, told.stderr
    return {row["event_id"]: row for row in json.loads(told.stdout)}


def messages(broker: str, topic: str) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "reader", "enable.auto.commit": False})
    try:
        starts = [TopicPartition(topic, n, 0) for n in range(TRANSACTIONS.partitions)]
        wanted = sum(consumer.get_watermark_offsets(start, timeout=10)[1] for start in starts)
        consumer.assign(starts)
        return consumer.consume(wanted, timeout=10) if wanted else []
    finally:
        consumer.close()


def test_each_letter_is_listed_once_with_its_reason_and_its_place() -> None:
    found = listed()
    assert {event_id: row["reason"] for event_id, row in found.items()} == {
        "transactions/3/0": "not_json",
        "transactions/3/1": "tombstone",
        "transactions/3/2": "missing_field",
    }
    assert (found["transactions/3/2"]["partition"], found["transactions/3/2"]["offset"]) == (3, 2)
    assert "not_json" in ask("list").stdout


def test_what_they_hold_is_shown_only_when_asked_for() -> None:
    assert "4111" not in ask("list").stdout + ask("list", "--json").stdout
    assert "4111 is no JSON" in ask("list", "--show").stdout
    shown = listed("--show")["transactions/3/0"]
    assert (shown["value"], shown["key"], shown["headers"]) == ("4111 is no JSON", "ann", {"trace": "\\xff7"})


def test_they_are_found_by_reason_and_by_place_and_no_more_than_asked_for() -> None:
    assert list(listed("--reason", "not_json")) == ["transactions/3/0"]
    assert list(listed("--event-id", "transactions/3/1")) == ["transactions/3/1"]
    assert len(listed("--limit", "2")) == 2
    assert ask("list", "--reason", "unheard").stdout == "no dead letters\n"


def test_another_secret_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET", "another")
    told = ask("list", "--show")
    assert told.exit_code == 1
    assert "HEADRACE_SECRET" in told.stderr


def test_nothing_is_sent_back_without_a_yes(broker: str) -> None:
    told = CliRunner().invoke(app, ["dead-letters", "replay"], input="n\n")
    assert told.exit_code == 1
    assert "Send 3 records back to transactions?" in told.output
    assert messages(broker, TRANSACTIONS.name) == []


def test_they_go_back_byte_for_byte_with_key_and_headers(broker: str) -> None:
    assert json.loads(ask("replay", "--yes", "--json", "--reason", "unheard").stdout) == {"replayed": 0}
    assert ask("replay", "--yes").stdout == "3 records sent back\n"
    back = {(m.value(), m.key(), tuple(m.headers() or ())) for m in messages(broker, TRANSACTIONS.name)}
    assert back == {(raw.value, raw.key, tuple(raw.headers)) for raw in RAWS}
    assert messages(broker, FEEDBACK.name) == []


def test_without_a_broker_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.dead_letters.TIMEOUT_SECONDS", 0.5)
    monkeypatch.setenv("HEADRACE_KAFKA", "127.0.0.1:1")
    told = ask("list")
    assert told.exit_code == 1
    assert "dead-letters cannot be read at 127.0.0.1:1" in told.stderr
