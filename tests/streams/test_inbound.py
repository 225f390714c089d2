"""The edge: whatever is read becomes a message or a dead letter, and never an error."""

import json
from base64 import b64decode
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import headers_of
from schemas.privacy import Tokeniser
from schemas.records import AnyTopic
from schemas.results import DeadLetter
from schemas.topics import ALL, DEAD_LETTERS, SCORES, TRANSACTIONS
from streams.inbound import Edge, Inbound
from streams.outbox import origin_header, outbound
from streams.sealing import Seal, SealBroken
from tests.builders import NOON, record, score, transaction

Headers = list[tuple[str, bytes]]
SEAL = Seal(b"a secret")
EDGE = Edge(Tokeniser({"1": b"tokens"}), SEAL)


@dataclass
class Read:
    """A record as a Kafka client gives it."""

    value: bytes | None
    headers: Headers = field(default_factory=list)
    key: bytes | None = b"ann"
    offset: int = 17
    timestamp: int = NOON


def admitted(raw: Read, topic: AnyTopic = TRANSACTIONS) -> Inbound:
    (item,) = EDGE.admit(topic, 2, [raw])
    return item


def payment(**changed: Any) -> bytes:
    return TRANSACTIONS.encode(transaction(**changed))


def letter(raw: Read, topic: AnyTopic = TRANSACTIONS) -> DeadLetter:
    item = admitted(raw, topic)
    assert item.bad
    assert isinstance(item.record.message, DeadLetter)
    return item.record.message


def opened(sealed: str | None) -> bytes:
    assert sealed is not None
    return SEAL.open(b64decode(sealed))


def test_a_message_is_known_by_its_event_id_and_placed_where_it_was_read() -> None:
    item = admitted(Read(payment(event_id="a")))
    assert (item.topic, item.offset, item.time, item.origin, item.bad) == (TRANSACTIONS, 17, NOON, None, False)
    read = item.record
    assert (read.id, read.partition, read.offset, read.source, read.watermark) == ("a", 2, 17, 0, None)


def test_a_cloud_event_is_known_by_its_source_and_id() -> None:
    headers = headers_of("7", "transactions", "/shop", NOON)
    assert admitted(Read(payment(event_id="a"), headers)).record.id == "/shop#7"


def test_what_we_said_ourselves_keeps_its_id_and_tells_where_it_was_said() -> None:
    said = outbound(record(score(), watermark=99), b"")
    read = admitted(Read(SCORES.encode(score()), [origin_header("fraud/3", 8, 5, said)]), SCORES)
    assert (read.record.id, read.record.source, read.record.watermark) == ("tx-1", 3, 99)
    assert read.origin is not None
    assert (read.origin.task, read.origin.sequence, read.origin.n) == ("fraud/3", 8, 5)


def test_personal_data_are_tokens_from_the_edge_on() -> None:
    message = admitted(Read(payment(card="4111 1111 1111 1111", ip="10.0.0.1"))).record.message
    assert message.card.startswith("tok_1_")
    assert message.ip.startswith("tok_1_")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b"not json", "not_json"),
        (b"{}", "missing_field"),
        (b'{"event_id": "\xff"}', "not_json"),
        (payment().replace(b"25.00", b"NaN"), "invalid_field"),
        (payment().replace(b"EUR", b"XXX"), "unknown_unit"),
        (b"[" * 100_000, "too_deep"),
        (b" " * 2_000_000 + b"{}", "too_large"),
    ],
)
def test_a_bad_message_becomes_a_dead_letter_that_says_why(value: bytes | None, reason: str) -> None:
    assert letter(Read(value)).reason == reason


def test_a_dead_letter_says_what_was_read_where_by_which_code() -> None:
    dead = letter(Read(b"broken", [("trace", b"t1"), ("empty", b"")], key=b"k"))
    assert (dead.topic, dead.partition, dead.offset, dead.event_time) == ("transactions", 2, 17, NOON)
    assert (dead.event_id, dead.code_version) == ("transactions/2/17", version("headrace"))
    assert dead.detail
    assert (opened(dead.value), opened(dead.key)) == (b"broken", b"k")
    assert [(name, opened(value)) for name, value in dead.headers] == [("trace", b"t1"), ("empty", b"")]


def test_a_dead_letter_has_an_id_of_its_place() -> None:
    item = admitted(Read(b"broken"))
    assert (item.record.id, item.record.topic, item.time) == ("transactions/2/17>edge.0", DEAD_LETTERS, -1)


def test_no_key_and_no_value_are_told_from_empty_ones() -> None:
    none, empty = letter(Read(None, key=None)), letter(Read(b"", key=b""))
    assert (none.key, none.value) == (None, "")
    assert (opened(empty.key), opened(empty.value)) == (b"", b"")


@pytest.mark.parametrize(
    "spoilt",
    [
        payment(card="4111 1111 1111 1111").replace(b"25.00", b"minus one"),
        payment(card="4111 1111 1111 1111").replace(b'"4111 1111 1111 1111"', b'["4111 1111 1111 1111"]'),
        payment(card="4111 1111 1111 1111")[:-1],
    ],
)
def test_a_dead_letter_shows_no_card_number(spoilt: bytes) -> None:
    shown = DEAD_LETTERS.encode(letter(Read(spoilt, [("card", b"4111 1111 1111 1111")], key=b"4111 1111 1111 1111")))
    assert b"4111" not in shown


FORGED = [
    [("headrace", b"not ours")],
    [("headrace", b'["fraud",1,0,5,"x"]')],
    [("headrace", b'["fraud/0","x",0,5,"x"]')],
    [("headrace", b"\xff\xfe")],
    [("headrace", None)],
    [("headrace", b'["fraud/0",1,0,' + b"9" * 30 + b',"x"]')],
]


@pytest.mark.parametrize("headers", FORGED)
def test_a_record_of_ours_with_a_broken_header_is_a_dead_letter(headers: Any) -> None:
    inbound = admitted(Read(SCORES.encode(score()), headers), SCORES)
    assert inbound.record.message.reason == "bad_header"


@pytest.mark.parametrize("headers", [*FORGED, [("headrace", b'["fraud/0",1,0,9,"forged"]')]])
def test_what_an_app_publishes_is_never_taken_for_our_own(headers: Any) -> None:
    inbound = admitted(Read(payment(event_id="tx-1"), headers))
    assert (inbound.record.id, inbound.record.watermark, inbound.origin) == ("tx-1", None, None)


@pytest.mark.parametrize(
    "headers",
    [
        [("content-type", b"application/cloudevents+json")],
        [("ce_specversion", b"0.3")],
        [("ce_specversion", b"1.0"), ("ce_id", b"1")],
        [("ce_id", b"\xff")],
    ],
)
def test_headers_that_cannot_be_read_make_a_dead_letter(headers: Any) -> None:
    assert letter(Read(payment(), headers)).reason in {"bad_header", "invalid_header", "structured_mode"}


def test_a_bad_message_costs_only_itself() -> None:
    raws = [Read(payment(event_id=f"e{n}") if n % 3 else b"bad", offset=n) for n in range(30)]
    items = EDGE.admit(TRANSACTIONS, 0, raws)
    assert [item.bad for item in items] == [n % 3 == 0 for n in range(30)]
    assert [item.offset for item in items] == list(range(30))


NAMES = st.sampled_from(["headrace", "ce_id", "ce_source", "ce_specversion", "content-type", "x"])
HEADERS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=40) | st.just(b'["a/0",1,2,3,"id"]')), max_size=4)
FIELDS = st.sampled_from(["event_id", "event_time", "user", "amount", "currency", "card", "latitude", "extra"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=2),
    max_leaves=4,
)
OBJECTS = st.dictionaries(FIELDS, VALUES).map(lambda changed: json.dumps(json.loads(payment()) | changed).encode())
POISON = st.none() | st.binary(max_size=60) | OBJECTS


@given(st.lists(st.tuples(POISON, HEADERS, st.none() | st.binary(max_size=8)), max_size=5), st.sampled_from(ALL))
def test_no_poison_ever_raises_and_every_record_is_accounted_for(
    poison: list[tuple[bytes | None, Any, bytes | None]], topic: AnyTopic
) -> None:
    raws = [Read(value, headers, key, offset) for offset, (value, headers, key) in enumerate(poison)]
    items = EDGE.admit(topic, 1, raws)
    assert [item.offset for item in items] == list(range(len(raws)))
    for item, raw in zip(items, raws, strict=True):
        assert item.record.topic.decode(item.record.topic.encode(item.record.message)) is not None
        if item.bad and raw.value is not None:
            assert opened(item.record.message.value) == raw.value


@given(st.binary())
def test_what_is_sealed_opens_again_and_equal_bytes_have_equal_seals(plain: bytes) -> None:
    sealed = SEAL.close(plain)
    assert SEAL.open(sealed) == plain
    assert sealed == Seal(b"a secret").close(plain)
    assert plain not in sealed or len(plain) < 4


@given(st.binary(max_size=40))
def test_what_was_not_sealed_with_this_secret_does_not_open(sealed: bytes) -> None:
    for broken in (sealed, Seal(b"another").close(sealed), SEAL.close(sealed)[:-1]):
        with pytest.raises(SealBroken, match="HEADRACE_SECRET"):
            SEAL.open(broken)
