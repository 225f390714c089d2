"""Columns: the whole numbers that are kept of an event so that declared features can be totalled exactly."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from typing import Any, NamedTuple

from processors.definitions import AMOUNT, FRAUD, Feature
from schemas.money import EXPONENTS

Fields = Mapping[str, Any]
"""What is known of an event: `amount` in minor units, `fraud` 0 or 1, and anything else by its name."""

MILLION = 1_000_000
"""Numbers other than amounts and flags are kept as whole millionths."""

SCALES: dict[str, int] = {unit: 10**exponent for unit, exponent in EXPONENTS.items()}


class Column(NamedTuple):
    """One number kept of an event: a field to the power 1 or 2, or with power 0 a number that only tells it apart."""

    field: str
    power: int


RowReader = Callable[[Fields], tuple[int, ...] | None]


def columns_of(feature: Feature) -> tuple[Column, ...]:
    """Return the columns that a feature is computed from."""
    if feature.of is None or (feature.aggregate in ("count", "since_last") and own_field(feature) is None):
        return ()
    powers = {"count": (0,), "since_last": (0,), "distinct": (0,), "std": (1, 2)}.get(feature.aggregate, (1,))
    return tuple(Column(feature.of, power) for power in powers)


def own_field(feature: Feature) -> str | None:
    """Return the field without which an event says nothing to a feature; amount and fraud are always there."""
    return None if feature.of in (AMOUNT, FRAUD) else feature.of


def row_reader(columns: Sequence[Column]) -> RowReader:
    """Return what reads an event's row, one number per column: None for an event that lacks one."""
    if all(column.power == 1 and column.field in (AMOUNT, FRAUD) for column in columns):
        names = tuple(column.field for column in columns)
        if len(names) == 1:
            (name,) = names
            return lambda fields: (fields.get(name) or 0,)
        return lambda fields: tuple([fields.get(name) or 0 for name in names])

    def read(fields: Fields) -> tuple[int, ...] | None:
        kept = [_kept(column, fields.get(column.field)) for column in columns]
        row = tuple([number for number in kept if number is not None])
        return row if len(row) == len(kept) else None

    return read


def _kept(column: Column, value: Any) -> int | None:
    if column.field in (AMOUNT, FRAUD):
        return _raised(int(value or 0), column.power)
    if not column.power:
        return None if value is None else text_number(str(value))
    number = _millionths(value)
    return None if number is None else _raised(number, column.power)


def _raised(number: int, power: int) -> int:
    return number * number if power == 2 else number


def _millionths(value: Any) -> int | None:
    if not isinstance(value, (int, float, Decimal)) or not isfinite(value):
        return None
    return round(value * MILLION)


@lru_cache(100_000)
def text_number(text: str) -> int:
    """Return a stable 48-bit number for a text, evenly spread, so that distinct texts can be counted."""
    return int.from_bytes(blake2b(text.encode(), digest_size=6).digest())


def scale_of(feature: Feature, unit: str) -> int:
    """Return how many of the kept whole numbers make one of the feature's own unit."""
    if feature.of == AMOUNT:
        return SCALES.get(unit, 1)
    return 1 if feature.of in (None, FRAUD) else MILLION
