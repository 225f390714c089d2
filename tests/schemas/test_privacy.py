"""Personal values become tokens where they enter, and equal values stay equal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import Profile, Transaction
from schemas.privacy import PREFIX, Tokeniser, personal_fields
from schemas.topics import TRANSACTIONS

KEYS = {"1": b"first", "2": b"second"}
PAYMENT = b'{"event_id":"a","event_time":1,"user":"u","amount":1,"currency":"EUR","card":"4000","ip":"10.0.0.1"}'


def test_tokens_take_the_place_of_personal_values_in_a_batch_and_alone() -> None:
    tokeniser = Tokeniser(KEYS)
    alone = TRANSACTIONS.decode(PAYMENT, tokeniser)
    assert alone.card == tokeniser.token("4000")
    assert alone.ip == tokeniser.token("10.0.0.1")
    assert alone.device is None
    assert TRANSACTIONS.decode_batch([PAYMENT, PAYMENT], tokeniser) == [alone, alone]
    assert b"4000" not in TRANSACTIONS.encode(alone)


def test_without_a_tokeniser_values_stay() -> None:
    assert TRANSACTIONS.decode(PAYMENT).card == "4000"


def test_a_token_is_not_tokenised_again() -> None:
    tokeniser = Tokeniser(KEYS)
    encoded = TRANSACTIONS.encode(TRANSACTIONS.decode(PAYMENT, tokeniser))
    assert TRANSACTIONS.decode(encoded, tokeniser).card == tokeniser.token("4000")


def test_a_token_says_under_which_key_it_was_made() -> None:
    first, second = Tokeniser(KEYS).token("4000"), Tokeniser(KEYS, "2").token("4000")
    assert first.startswith(f"{PREFIX}1_")
    assert second.startswith(f"{PREFIX}2_")
    assert first[-26:] != second[-26:]


def test_an_unknown_key_version_is_refused() -> None:
    with pytest.raises(ValueError, match="token key version '3' is not among"):
        Tokeniser(KEYS, "3")


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_tokens_are_equal_exactly_where_values_are(one: str, other: str) -> None:
    tokeniser = Tokeniser(KEYS)
    assert (tokeniser.token(one) == tokeniser.token(other)) == (one == other)
    assert one == "" or one not in tokeniser.token(one) or len(one) < 8


def test_personal_fields_are_known_by_kind() -> None:
    assert personal_fields(Transaction) == {"card": "card", "device": "device", "ip": "ip"}
    assert personal_fields(Profile) == {"email": "contact", "phone": "contact"}
