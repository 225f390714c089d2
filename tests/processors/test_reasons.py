"""Every feature is put into words with its own numbers, and no number is made up."""

from math import log, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.customers import CustomerFeatures
from processors.reasons import WORDINGS, Facts, in_words, usual_amount
from processors.terminals import TerminalHistory

NAMES = CustomerFeatures().names + TerminalHistory().names


def facts(**known: float) -> Facts:
    return Facts(NAMES, [known.get(name, 0.0) for name in NAMES])


@pytest.mark.parametrize("feature", NAMES)
def test_every_feature_of_the_default_set_has_words(feature: str) -> None:
    assert feature in WORDINGS
    assert in_words(feature, nan, facts()) == f"{feature} is unknown"


@given(st.sampled_from(NAMES), st.lists(st.floats(-1e9, 1e9), min_size=len(NAMES), max_size=len(NAMES)))
def test_any_value_can_be_put_into_words(feature: str, vector: list[float]) -> None:
    known = {name: abs(value) % 700 for name, value in zip(NAMES, vector, strict=True)}
    assert in_words(feature, known[feature], facts(**known))


@pytest.mark.parametrize(
    ("feature", "value", "known", "words"),
    [
        ("terminal_risk_30d", 4 / 9, {"terminal_count_30d": 9.0}, "4 of the 9 matured payments of 30 days at this"),
        ("terminal_fraud_run", 3.0, {"terminal_fraud_run": 3.0}, "the last 3 matured payments at this terminal were"),
        ("customer_count_1d", 21.0, {}, "21 payments by this customer in a day"),
        ("speed_kmh", 3192.4, {}, "3192 km/h from the place of the last payment"),
        ("new_device", 1.0, {}, "first payment from this device"),
        ("new_country", 0.0, {}, "a country used before"),
        ("night", 1.0, {}, "at night"),
        ("seconds_since_last", 5400.0, {}, "1.5 hours after the customer's last payment"),
    ],
)
def test_words_tell_the_numbers(feature: str, value: float, known: dict[str, float], words: str) -> None:
    assert in_words(feature, value, facts(**known)).startswith(words)


def test_an_amount_is_told_against_the_customers_usual_amount() -> None:
    told = facts(amount=412.0, amount_log_ratio_mean=log(413.0 / 68.3))
    assert usual_amount(told) == pytest.approx(67.3)
    assert in_words("amount_z", 5.0, told) == "amount 412.00 is 6.1× this customer's usual 67.30"


def test_a_first_amount_has_no_usual_one() -> None:
    first = facts(amount=412.0, amount_log_ratio_mean=nan)
    assert in_words("amount_log_ratio_max", 1.2, first) == "amount 412.00 is this customer's first"


def test_a_customer_who_usually_pays_nothing_pays_more_than_that() -> None:
    told = facts(amount=10.0, amount_log_ratio_mean=log(11.0))
    assert in_words("amount_z", 5.0, told) == "amount 10.00 is more than this customer's usual 0.00"


def test_a_feature_without_words_is_named_with_its_value() -> None:
    assert in_words("spins", 2.5, Facts(("spins",), (2.5,))) == "spins is 2.5"
