"""Sums over the categories of many items, made once for each combination of categories that some item has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from online_models.base import Vector
from online_models.factor_state import Indices


class CategorySets:
    """The combinations of categories of N items: `names` are the C categories there are, `codes` (N,) each item's.

    `sizes` (S,) is how many categories each of the S combinations has, at least 1.
    """

    def __init__(self, categories: Sequence[tuple[str, ...]]) -> None:
        codes = {each: code for code, each in enumerate(dict.fromkeys(categories))}
        columns = {name: column for column, name in enumerate(dict.fromkeys(name for each in codes for name in each))}
        self.names = tuple(columns)
        self.columns = tuple(tuple(columns[name] for name in each) for each in codes)
        self.codes: Indices = np.array([codes[each] for each in categories], dtype=np.int64)
        self.sizes: Vector = np.array([max(len(each), 1) for each in codes], dtype=np.float64)
        self._padded = self._columns_in_a_row()

    def sums(self, values: Vector) -> Vector:
        """Return for each combination the sum of its categories' values (C,): from 0.0 on, in their order.

        So it is the same to the last bit as one by one.
        """
        padded = np.append(values, 0.0)
        totals = np.zeros(len(self.columns))
        for column in self._padded:
            totals += padded[column]
        return totals

    def _columns_in_a_row(self) -> Indices:
        """Return the nth category of each combination in row n; where it has none, the place behind the last one."""
        longest = max(map(len, self.columns), default=0)
        padded = np.full((longest, len(self.columns)), len(self.names), dtype=np.int64)
        for code, columns in enumerate(self.columns):
            padded[: len(columns), code] = columns
        return padded
