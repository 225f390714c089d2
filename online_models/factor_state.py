"""The arrays of a rating model, and which of their rows belongs to whom."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from online_models.base import Vector

Matrix = np.ndarray[Any, np.dtype[np.float64]]
Indices = np.ndarray[Any, np.dtype[np.int64]]

FIRST_ROWS = 64
RATES = (
    "user_smoothing",
    "item_smoothing",
    "category_smoothing",
    "mood_smoothing",
    "slowest",
    "factor_rate",
    "factor_decay",
    "mood_ms",
    "mood_kept",
)
"""How fast which part learns; `factorisation.FactorSettings` says what each means."""


class Users(NamedTuple):
    """What is known of each user; kernels change the arrays in place. Columns C are categories, F factors."""

    numbers: Matrix
    """(N, 5): ratings learned, bias, mood's sum and weight, time of the last rating in milliseconds."""
    factors: Matrix
    """(N, F)"""
    taste: Matrix
    """(N, C), bias on each category."""
    tasted: Matrix
    """(N, C), ratings learned in each category."""


class Items(NamedTuple):
    """What is known of each item; kernels change the arrays in place."""

    numbers: Matrix
    """(N, 2): ratings learned, bias."""
    factors: Matrix
    """(N, F)"""


class Factors(NamedTuple):
    """All that a rating model computes with."""

    users: Users
    items: Items
    scalars: Vector
    """(2,): mean of all ratings, how many there were."""
    rates: Vector
    """(9,), in the order of `RATES`."""


def no_users(rows: int, factors: int, categories: int) -> Users:
    """Return rows of users that nothing is known of."""
    return Users(
        np.zeros((rows, 5)), np.zeros((rows, factors)), np.zeros((rows, categories)), np.zeros((rows, categories))
    )


def no_items(rows: int, factors: int) -> Items:
    """Return rows of items that nothing is known of."""
    return Items(np.zeros((rows, 2)), np.zeros((rows, factors)))


class Rows:
    """Gives each id a row, at most `limit` in all: then the id that was used longest ago loses its row to the next."""

    def __init__(self, limit: int, ids: Iterable[str] = ()) -> None:
        self.limit = limit
        self._rows = OrderedDict((name, row) for row, name in enumerate(ids))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        """Yield the ids, the one used longest ago first."""
        return iter(self._rows)

    def get(self, name: str) -> int:
        """Return the row of an id, -1 when it has none. Changes nothing."""
        return self._rows.get(name, -1)

    def use(self, name: str) -> tuple[int, bool]:
        """Return the row of an id, and whether it is new to it and must be emptied."""
        if name in self._rows:
            self._rows.move_to_end(name)
            return self._rows[name], False
        row = len(self._rows) if len(self._rows) < self.limit else self._rows.popitem(last=False)[1]
        self._rows[name] = row
        return row, True

    def order(self) -> Indices:
        """Return the row of each id, in the order of iteration."""
        return np.fromiter(self._rows.values(), np.int64, len(self._rows))


def emptied(array: Matrix, row: int, limit: int) -> Matrix:
    """Return the array with zeros in a row: the same one, or one of twice its rows, at most `limit`."""
    if row >= len(array):
        larger = np.zeros((min(max(2 * row, FIRST_ROWS), limit), array.shape[1]))
        larger[: len(array)] = array
        return larger
    array[row] = 0.0
    return array


def packed(array: Matrix, order: Indices) -> bytes:
    """Return the rows in an order as bytes."""
    return np.ascontiguousarray(array[order], dtype="<f8").tobytes()


def rows_of(shapes: Iterable[Matrix], told: Sequence[bytes], count: int) -> list[Matrix]:
    """Return `count` rows of each array, as `packed` wrote them; `ValueError` when they are others."""
    widths = [array.shape[1] for array in shapes]
    if [len(rows) for rows in told] != [8 * count * width for width in widths]:
        raise ValueError(f"not a snapshot of this model: it names {count} rows, and holds others")
    return [
        np.frombuffer(rows, "<f8").astype(np.float64).reshape(count, width)
        for rows, width in zip(told, widths, strict=True)
    ]


def first_factors(name: str, seed: int, factors: int, spread: float) -> Vector:
    """Return factors that depend on nothing but the id and the seed: uniform, of standard deviation `spread`."""
    # A hash, not a generator: the order in which ids come changes nothing, and neither does a new NumPy.
    bits = hashlib.shake_128(f"{seed}/{name}".encode()).digest(2 * factors)
    factors_of_id: Vector = (np.frombuffer(bits, "<u2") / 65_535.0 * 2.0 - 1.0) * (spread * math.sqrt(3.0))
    return factors_of_id
