"""Whatever bytes arrive, decoding gives a message or says what is wrong; one bad value costs only itself."""

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.codec import MAX_BYTES, MAX_DEPTH, depth, joined
from schemas.errors import BadMessage
from schemas.events import Transaction
from schemas.topics import ALL, CLICKS, FEEDBACK, OFFER_REQUESTS, OFFERS, PROFILES, SCORES, TRANSACTIONS

STEADY = settings(deadline=None)
GOOD: dict[str, Any] = {
    "event_id": "tx-1",
    "event_time": "2026-03-01T10:00:00Z",
    "user": "u1",
    "terminal": "t1",
    "amount": 12.34,
    "currency": "EUR",
}


def payment(**changes: Any) -> bytes:
    """Return a good transaction with some fields changed; a field set to ... is left out."""
    return json.dumps({name: value for name, value in (GOOD | changes).items() if value is not ...}).encode()


def spelled(**changes: str) -> bytes:
    """Return a good transaction in which some fields are spelled exactly like this."""
    fields = {name: json.dumps(value) for name, value in GOOD.items()} | changes
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()


def reason(value: bytes | None) -> str:
    with pytest.raises(BadMessage) as caught:
        TRANSACTIONS.decode(value)
    return caught.value.reason


def outcome(found: Any) -> Any:
    return (found.reason, found.detail) if isinstance(found, BadMessage) else found


BAD: dict[str, tuple[bytes | None, str]] = {
    "a tombstone": (None, "tombstone"),
    "nothing": (b"", "empty"),
    "blanks": (b" \n\t", "empty"),
    "null": (b"null", "invalid_field"),
    "no JSON": (b"event_id=1", "not_json"),
    "half an object": (payment()[:-5], "not_json"),
    "two objects": (payment() + b"," + payment(), "not_json"),
    "something after the object": (payment() + b"x", "not_json"),
    "a byte-order mark": (b"\xef\xbb\xbf" + payment(), "not_json"),
    "UTF-16": (payment().decode().encode("utf-16"), "not_json"),
    "bad UTF-8": (payment().replace(b"u1", b"\xff\xfe"), "not_json"),
    "half a surrogate": (spelled(user='"\\ud800"'), "not_json"),
    "a raw control character": (spelled(user='"a\rb"'), "not_json"),
    "a list": (b"[" + payment() + b"]", "invalid_field"),
    "a number": (b"17", "invalid_field"),
    "a huge number": (b"1e999", "invalid_field"),
    "a text": (b'"transaction"', "invalid_field"),
    "two megabytes": (payment(note="x" * 2_000_000), "too_large"),
    "two megabytes of brackets": (b"[" * 2_000_000, "too_large"),
    "half a megabyte of brackets": (b"[" * 500_000, "too_deep"),
    "deep nesting": (spelled(note="[" * 40 + "]" * 40), "too_deep"),
    "deep objects": (spelled(note='{"a":' * 40 + "1" + "}" * 40), "too_deep"),
    "no event id": (payment(event_id=...), "missing_field"),
    "no user": (payment(user=...), "missing_field"),
    "no amount": (payment(amount=...), "missing_field"),
    "no currency": (payment(currency=...), "missing_field"),
    "no time": (payment(event_time=...), "missing_field"),
    "a user of null": (payment(user=None), "invalid_field"),
    "an empty user": (payment(user=""), "invalid_field"),
    "a user of 300 letters": (payment(user="u" * 300), "invalid_field"),
    "a list for a user": (payment(user=["u"]), "invalid_field"),
    "a truth for an amount": (payment(amount=True), "invalid_field"),
    "words for an amount": (payment(amount="ten"), "invalid_field"),
    "an amount that is no number": (spelled(amount="NaN"), "invalid_field"),
    "an endless amount": (spelled(amount="Infinity"), "invalid_field"),
    "an endless amount in letters": (payment(amount="inf"), "invalid_field"),
    "an amount too big for a float": (spelled(amount="1e999"), "invalid_field"),
    "an amount too big in letters": (payment(amount="1e999999999"), "inexact_amount"),
    "an amount beyond exact numbers": (payment(amount="90000000000000.01"), "inexact_amount"),
    "an amount of a million digits": (payment(amount="1" * 1_000_000), "inexact_amount"),
    "an integer of many digits": (spelled(amount="1" * 10_000), "not_json"),
    "an amount in parts": (payment(amount=[0, [1, 2], 0]), "invalid_field"),
    "an amount in wrong parts": (payment(amount=[None, None, None]), "invalid_field"),
    "a negative amount": (payment(amount=-0.01), "invalid_field"),
    "a tenth of a cent": (payment(amount=10.001), "inexact_amount"),
    "next to nothing": (payment(amount="1e-999999999"), "inexact_amount"),
    "a cent and next to nothing": (payment(amount="0.01" + "0" * 80 + "1"), "inexact_amount"),
    "half a yen": (payment(amount=0.5, currency="JPY"), "inexact_amount"),
    "an unknown unit": (payment(currency="XXX"), "unknown_unit"),
    "a unit in small letters": (payment(currency="eur"), "unknown_unit"),
    "no unit at all": (payment(currency=""), "unknown_unit"),
    "a time without zone": (payment(event_time="2026-03-01T10:00:00"), "invalid_field"),
    "a day": (payment(event_time="2026-03-01"), "invalid_field"),
    "a thirteenth month": (payment(event_time="2026-13-01T10:00:00Z"), "invalid_field"),
    "a time too far": (spelled(event_time="1e18"), "invalid_field"),
    "an endless time": (spelled(event_time="1e999"), "invalid_field"),
    "a time after 9999 in UTC": (payment(event_time="9999-12-31T23:59:59-05:00"), "invalid_field"),
    "a time before year 1 in UTC": (payment(event_time="0001-01-01T00:00:00+05:00"), "invalid_field"),
    "a latitude of 91": (payment(latitude=91), "invalid_field"),
    "a longitude of nowhere": (spelled(longitude="NaN"), "invalid_field"),
    "a country of one letter": (payment(country="D"), "invalid_field"),
}


@pytest.mark.parametrize(("value", "expected"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused_with_its_reason(value: bytes | None, expected: str) -> None:
    assert reason(value) == expected


@pytest.mark.parametrize("value", [value for value, _ in BAD.values()], ids=BAD.keys())
def test_one_bad_message_costs_only_itself(value: bytes | None) -> None:
    found = TRANSACTIONS.decode_batch([payment(event_id="a"), value, payment(event_id="b")])
    assert [getattr(message, "event_id", None) for message in found] == ["a", None, "b"]
    assert isinstance(found[1], BadMessage)


def test_a_complaint_names_the_field_and_the_value() -> None:
    with pytest.raises(BadMessage, match=r"invalid_field: amount: .*greater than or equal to 0 \(got '-1'\)"):
        TRANSACTIONS.decode(payment(amount=-1))
    with pytest.raises(BadMessage, match="missing_field: user is required"):
        TRANSACTIONS.decode(payment(user=...))


@pytest.mark.parametrize(
    ("topic", "changed"),
    [
        (OFFER_REQUESTS, {"offers": ["o"] * 10_000}),
        (OFFER_REQUESTS, {"offers": [""]}),
        (OFFER_REQUESTS, {"slots": 0}),
        (OFFER_REQUESTS, {"slots": 21}),
        (OFFERS, {"budget": -1}),
        (OFFERS, {"duration_days": 0}),
        (OFFERS, {"duration_days": "much"}),
        (OFFERS, {"most_per_customer": 0}),
        (CLICKS, {"propensity": 0}),
        (CLICKS, {"propensity": 1.5}),
        (PROFILES, {"age": -1}),
    ],
    ids=lambda value: getattr(value, "name", "") or next(iter(value)),
)
def test_what_no_offer_or_request_can_be_is_refused_by_the_field(topic: Any, changed: dict[str, Any]) -> None:
    good = {"event_id": "e", "event_time": 1, "user": "ann", "offer": "coffee", "kind": "view"}
    assert topic.decode(json.dumps(good).encode())
    with pytest.raises(BadMessage, match=f"invalid_field: {next(iter(changed))}"):
        topic.decode(json.dumps(good | changed).encode())


def test_a_request_that_names_no_offers_is_for_the_whole_catalogue() -> None:
    request = OFFER_REQUESTS.decode(b'{"event_id":"d-1","event_time":1,"user":"ann"}')
    assert (request.offers, request.slots) == ((), 3)


@pytest.mark.parametrize("topic", ALL, ids=lambda topic: topic.name)
@STEADY
@given(value=st.binary(max_size=200) | st.none())
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b'{"event_id":"\xff"}')
@example(b"9" * 100_000)
def test_no_bytes_do_more_harm_than_a_bad_message(topic: Any, value: bytes | None) -> None:
    with pytest.raises(BadMessage):
        topic.decode(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([*Transaction.model_fields, "note"])
ALMOST = st.builds(lambda changes: json.dumps(GOOD | changes).encode(), st.dictionaries(FIELDS, JSON, max_size=3))

FRAGMENTS = [
    *(b"{", b"}", b"[", b"]", b",", b"\r", b"\n", b" ", b'"', b":", b'"x":', b'"x":[', b'{"x":"', b'"}', b'{"', b"\\"),
    *(payment(), payment()[:-1], payment()[1:], payment()[:-1] + b',"x":"', b'","x":1}', b'{"x":{"y":"}"}', b""),
    *(
        payment()[:-1] + b',"x":[{"y":"}"}',
        b'{"z":"{"}]}',
        payment() + b"," + payment(),
        payment() + b",\r" + payment(),
    ),
]
PIECES = st.lists(st.sampled_from(FRAGMENTS), max_size=4).map(b"".join)
VALUES = st.lists(PIECES | ALMOST | st.just(payment()) | st.none() | st.binary(max_size=20), max_size=6)


@STEADY
@given(VALUES)
@example([payment()[:-1] + b',"x":"', b'"}', payment() + b"," + payment()])
@example([payment()[:-1] + b',"x":"', b'{"}', payment() + b"," + payment()])
@example([payment()[:-1], b'"x":1}', payment() + b",\r" + payment()])
@example([payment()[:-1] + b',"x":[{"y":"}"}', b'{"z":"{"}]}', payment() + b"," + payment()])
@example([payment(note="a\\")[:-2], b'{"}', payment() + b"," + payment()])
@example([payment(), b"", payment() + b"," + payment()])
def test_a_batch_says_what_each_value_says_alone(values: list[bytes | None]) -> None:
    alone = [TRANSACTIONS.decode_batch([value])[0] for value in values]
    assert [outcome(found) for found in TRANSACTIONS.decode_batch(values)] == [outcome(found) for found in alone]


@STEADY
@given(st.lists(PIECES | st.just(payment()), min_size=2, max_size=5))
def test_values_are_joined_only_where_none_can_pass_for_another(values: list[bytes]) -> None:
    together = joined(values)
    if together is None:
        return
    try:
        found = orjson.loads(together)
    except orjson.JSONDecodeError:
        return
    if len(found) == len(values):
        assert found == [orjson.loads(value) for value in values]


def test_good_values_are_joined() -> None:
    assert joined([payment(), payment(note="}\\{"), payment(note={"a": {}})]) is not None


@STEADY
@given(ALMOST)
def test_an_almost_good_message_is_decoded_or_refused(value: bytes) -> None:
    found = TRANSACTIONS.decode_batch([value])[0]
    assert isinstance(found, Transaction) or found.reason


def test_the_batch_is_validated_in_one_call_or_one_by_one_with_the_same_result() -> None:
    values = [payment(event_id=f"e{n}", note={"deep": n}) for n in range(3 * MAX_DEPTH)]
    assert TRANSACTIONS.decode_batch(values) == [TRANSACTIONS.decode(value) for value in values]


def test_brackets_in_a_text_are_no_nesting() -> None:
    assert TRANSACTIONS.decode(payment(note="[{" * 99 + '\\"' + "[" * 99)).event_id == "tx-1"


@pytest.mark.parametrize("opened", ["[", '{"a":'])
def test_nesting_is_measured_to_its_limit(opened: str) -> None:
    closed = "]" if opened == "[" else "}"
    deepest = MAX_DEPTH - 1
    assert TRANSACTIONS.decode(spelled(note=opened * deepest + "1" + closed * deepest)).event_id == "tx-1"
    assert reason(spelled(note=opened * MAX_DEPTH + "1" + closed * MAX_DEPTH)) == "too_deep"


@STEADY
@given(JSON)
def test_depth_is_that_of_the_parsed_value(value: Any) -> None:
    def nested(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(nested, inner), default=0)

    assert depth(json.dumps(value).encode()) == nested(value)


def test_a_message_as_large_as_allowed_is_taken() -> None:
    room = MAX_BYTES - len(payment(note=""))
    full = payment(note="x" * room)
    assert len(full) == MAX_BYTES
    assert TRANSACTIONS.decode_batch([full, full + b" "])[0] == TRANSACTIONS.decode(full)
    assert reason(full + b" ") == "too_large"


def test_an_empty_batch_is_empty() -> None:
    assert TRANSACTIONS.decode_batch([]) == []


def test_a_model_is_larger_than_any_event() -> None:
    score = SCORES.decode_batch([b'{"event_id": 1}', None])
    assert [found.reason for found in score if isinstance(found, BadMessage)] == ["invalid", "tombstone"]


def test_unknown_fields_are_kept() -> None:
    message = TRANSACTIONS.decode(payment(loyalty={"tier": "gold", "since": None}, nothing=None))
    again = json.loads(TRANSACTIONS.encode(message))
    assert again["loyalty"] == {"tier": "gold", "since": None}
    assert again["nothing"] is None


def test_the_last_of_two_equal_keys_counts() -> None:
    twice = payment()[:-1] + b', "user": "u2"}'
    assert TRANSACTIONS.decode(twice).user == "u2"
    assert TRANSACTIONS.decode_batch([twice, twice])[0] == TRANSACTIONS.decode(twice)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-03-01T10:00:00Z", 1_772_359_200_000),
        ("2026-03-01T12:30:00.250+02:30", 1_772_359_200_250),
        ("2026-03-01 10:00:00+00:00", 1_772_359_200_000),
        (1_772_359_200, 1_772_359_200_000),
        (1_772_359_200_125, 1_772_359_200_125),
        (1_772_359_200.125, 1_772_359_200_125),
        (-1, -1_000),
        (0, 0),
    ],
)
def test_event_time_is_utc_however_it_was_written(time: Any, expected: int) -> None:
    message = TRANSACTIONS.decode(payment(event_time=time))
    assert message.time_ms() == expected
    assert str(message.event_time).endswith("+00:00")


@pytest.mark.parametrize(("number", "text"), [(17, "17"), (2**70, str(2**70)), (0, "0")])
def test_numbers_are_taken_as_ids(number: int, text: str) -> None:
    message = TRANSACTIONS.decode(payment(event_id=number, user=number, terminal=number))
    assert (message.event_id, message.user, message.terminal) == (text, text, text)


FULL: dict[str, tuple[Any, dict[str, Any]]] = {
    "transaction": (
        TRANSACTIONS,
        GOOD | {"card": "4000", "ip": "10.0.0.1", "latitude": 1.5, "country": "DE", "x": [1]},
    ),
    "click": (CLICKS, {"event_id": "c", "event_time": 1, "user": "u", "kind": "view", "value": 2.5}),
    "offer": (
        OFFERS,
        {"event_id": "o", "event_time": 1, "offer": "o", "reward": "2.50", "segments": ["a"], "stock": 0},
    ),
    "feedback": (FEEDBACK, {"event_time": 1, "about": "tx-1", "kind": "verdict", "verdict": "fraud"}),
    "profile": (PROFILES, {"event_id": "p", "event_time": 1, "user": "u", "email": "a@b.c", "consent": ["ads"]}),
}


@pytest.mark.parametrize(("topic", "fields"), FULL.values(), ids=FULL.keys())
def test_what_is_encoded_is_decoded_the_same(topic: Any, fields: dict[str, Any]) -> None:
    message = topic.decode(orjson.dumps(fields))
    assert topic.decode(topic.encode(message)) == message
    assert topic.encode(topic.decode(topic.encode(message))) == topic.encode(message)
    assert set(fields) <= set(json.loads(topic.encode(message)))


@STEADY
@given(ALMOST)
def test_any_transaction_survives_encoding(value: bytes) -> None:
    found = TRANSACTIONS.decode_batch([value])[0]
    if isinstance(found, Transaction):
        assert TRANSACTIONS.decode(TRANSACTIONS.encode(found)).amount == found.amount
        assert TRANSACTIONS.encode(TRANSACTIONS.decode(TRANSACTIONS.encode(found))) == TRANSACTIONS.encode(found)


SPOILS: list[Callable[[bytes], bytes]] = [lambda v: v[:-1], lambda v: b"[" + v, lambda v: v + v, lambda v: b"\x00" + v]


@pytest.mark.parametrize("spoil", SPOILS)
def test_many_bad_messages_cost_only_themselves(spoil: Callable[[bytes], bytes]) -> None:
    values = [spoil(payment()) if n % 7 == 0 else payment(event_id=n) for n in range(100)]
    found = TRANSACTIONS.decode_batch(values)
    assert [isinstance(message, BadMessage) for message in found] == [n % 7 == 0 for n in range(100)]
