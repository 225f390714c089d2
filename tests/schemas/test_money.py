"""Exact amounts: the quick way to tell them agrees with their definition."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import BadMessage
from schemas.money import EXPONENTS, MAX_MINOR_UNITS, minor_units, refuse_inexact

UNITS = st.sampled_from(("EUR", "JPY", "KWD", "BTC", "MILES"))
NEAR_THE_LARGEST = st.integers(-2, 2).map(lambda more: Decimal(MAX_MINOR_UNITS + more))
AMOUNTS = st.builds(
    lambda digits, exponent: digits.scaleb(exponent),
    st.one_of(st.integers(-(10**20), 10**20).map(Decimal), st.integers(-999, 999).map(Decimal), NEAR_THE_LARGEST),
    st.integers(-12, 3),
)


def naive(amount: Decimal, unit: str) -> int | None:
    """Return the minor units by definition, None where an amount is refused."""
    parts = Fraction(amount) * 10 ** EXPONENTS[unit]
    return int(parts) if parts.denominator == 1 and abs(parts) <= MAX_MINOR_UNITS else None


@settings(deadline=None, max_examples=500)
@given(AMOUNTS, UNITS)
def test_an_amount_is_taken_if_and_only_if_it_is_whole_in_its_smallest_part(amount: Decimal, unit: str) -> None:
    expected = naive(amount, unit)
    if expected is None:
        with pytest.raises(BadMessage, match="inexact_amount"):
            refuse_inexact(amount, unit)
    else:
        assert minor_units(amount, unit) == expected


@pytest.mark.parametrize("unit", sorted(EXPONENTS))
def test_the_largest_amount_of_each_unit_is_taken(unit: str) -> None:
    assert minor_units(Decimal(MAX_MINOR_UNITS).scaleb(-EXPONENTS[unit]), unit) == MAX_MINOR_UNITS


def test_trailing_zeros_make_no_amount_finer() -> None:
    assert minor_units(Decimal("12.3000000"), "EUR") == 1230
    assert minor_units(Decimal("1.2E+3"), "JPY") == 1200
