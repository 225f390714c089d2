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


class Needed(NamedTuple):
    """A field that an event must have, and whether it must be a number."""

    field: str
    number: bool


ANY_SORT = ("count", "since_last", "distinct")
"""The aggregates of fields of any sort; the others need numbers."""

RowReader = Callable[[Fields], tuple[int, ...] | None]


def columns_of(feature: Feature) -> tuple[Column, ...]:
    """Return the columns that a feature is computed from."""
    if feature.of is None or (feature.aggregate in ("count", "since_last") and needed(feature) is None):
        return ()
    powers = (0,) if feature.aggregate in ANY_SORT else (1, 2) if feature.aggregate == "std" else (1,)
    return tuple(Column(feature.of, power) for power in powers)


def needed(feature: Feature) -> Needed | None:
    """Return what an event must have to count in a feature; None for amount and fraud, which are always there."""
    return None if feature.of in (None, AMOUNT, FRAUD) else Needed(feature.of, feature.aggregate not in ANY_SORT)


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
    number = millionths(value)
    return None if number is None else _raised(number, column.power)


def _raised(number: int, power: int) -> int:
    return number * number if power == 2 else number


def millionths(value: Any) -> int | None:
    """Return a number as a whole number of millionths; None for anything else."""
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
