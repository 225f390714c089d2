"""Amounts, durations, feedback and topics: what the words mean."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.durations import milliseconds
from schemas.errors import BadMessage
from schemas.events import Feedback, Transaction
from schemas.money import EXPONENTS, MAX_MINOR_UNITS, major, minor_units
from schemas.records import DAY, Record
from schemas.topics import ALL, BY_NAME, FEEDBACK, TRANSACTIONS


@settings(deadline=None)
@given(st.integers(-MAX_MINOR_UNITS, MAX_MINOR_UNITS), st.sampled_from(sorted(EXPONENTS)))
def test_every_amount_of_whole_minor_units_is_exact(whole: int, unit: str) -> None:
    amount = Decimal(whole).scaleb(-EXPONENTS[unit])
    assert minor_units(amount, unit) == whole
    assert minor_units(Decimal(str(major(whole, unit))), unit) == whole


@pytest.mark.parametrize("amount", ["1e15", "-1e15", "0.001", "1e-400", "1e-9999999"])
def test_an_amount_too_large_or_too_fine_is_refused(amount: str) -> None:
    with pytest.raises(BadMessage, match="inexact_amount"):
        minor_units(Decimal(amount), "EUR")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7d", 7 * DAY), ("12h", 43_200_000), ("250ms", 250), ("1h30m", 5_400_000), ("0.5s", 500), (" 2 w ", 14 * DAY)],
)
def test_a_duration_is_read(text: str, expected: int) -> None:
    assert milliseconds(text) == expected


def test_a_number_is_milliseconds_already() -> None:
    assert milliseconds(1_500) == 1_500


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "-1d", "1d!", True, None])
def test_what_is_no_duration_is_refused_with_the_way_to_write_one(text: Any) -> None:
    with pytest.raises(ValueError, match="such as 7d, 12h"):
        milliseconds(text)


@pytest.mark.parametrize(
    ("kind", "verdict", "fraud"),
    [
        ("chargeback", None, True),
        ("dispute", None, True),
        ("reversal", None, False),
        ("verdict", "fraud", True),
        ("verdict", "genuine", False),
        ("rating", None, None),
    ],
)
def test_feedback_says_fraud_genuine_or_neither(kind: str, verdict: str | None, fraud: bool | None) -> None:
    said = Feedback.model_validate({"event_time": 1, "about": "a", "kind": kind, "verdict": verdict})
    assert said.fraud() is fraud
    assert said.event_id == f"{kind}:upstream:a"


def test_a_verdict_without_a_verdict_is_refused() -> None:
    with pytest.raises(BadMessage, match="a verdict says whether"):
        FEEDBACK.decode(b'{"event_time":1,"about":"a","kind":"verdict"}')


def test_feedback_keeps_an_id_of_its_own() -> None:
    assert FEEDBACK.decode(b'{"event_time":1,"about":"a","kind":"dispute","event_id":"f1"}').event_id == "f1"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"terminal": "t", "merchant": "m"}, "t"), ({"merchant": "m"}, "m"), ({}, "u")],
)
def test_the_counterparty_is_the_closest_known(fields: dict[str, str], expected: str) -> None:
    required = {"event_id": "a", "event_time": 1, "user": "u", "amount": 1, "currency": "EUR"}
    assert Transaction.model_validate(required | fields).counterparty() == expected


def test_a_record_knows_its_key_and_time() -> None:
    message = TRANSACTIONS.decode(b'{"event_id":"a","event_time":1,"user":"u","amount":1,"currency":"EUR"}')
    record = Record(TRANSACTIONS, message, "a")
    assert (record.key, record.time) == ("u", 1_000)
    message.tenant = "bank"
    assert record.key == "bank/u"


def test_topic_names_are_unique() -> None:
    assert len(BY_NAME) == len(ALL)
    assert repr(TRANSACTIONS) == "Topic('transactions')"
