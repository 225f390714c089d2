"""Crosses: what a feature says where another says so, as a function of its own beside the feature's."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from online_models.additive_kernels import crossed
from online_models.additive_state import Indices
from online_models.base import Vector


class Cross(msgspec.Struct, frozen=True):
    """The feature `value` where the feature `where` lies strictly between `above` and `below`; missing elsewhere."""

    value: str
    where: str
    above: float = -np.inf
    below: float = np.inf


SOON_SECONDS = 1_200.0
"""A payment that follows the last one of its customer by less is soon."""

FRAUD = (
    *(
        Cross(value, "new_device", above=0.0)
        for value in (
            "amount_z",
            "amount_log_ratio_genuine",
            "customer_count_1d",
            "seconds_since_last",
            "speed_kmh",
        )
    ),
    *(
        Cross(value, "seconds_since_last", below=SOON_SECONDS)
        for value in ("amount", "amount_log_ratio_genuine", "new_device", "speed_kmh", "terminal_cusum")
    ),
)
"""What tells stolen cards that are tried and copied cards that travel, which no single feature does."""


def among(features: tuple[str, ...], crosses: tuple[Cross, ...]) -> tuple[Cross, ...]:
    """Return the crosses both of whose features are there."""
    return tuple(cross for cross in crosses if cross.value in features and cross.where in features)


class Columns(NamedTuple):
    """How to come from a vector of features to the columns of a model, its features and then its crosses."""

    value: Indices
    flag: Indices
    above: Vector
    below: Vector

    @classmethod
    def of(cls, features: tuple[str, ...], crosses: tuple[Cross, ...]) -> Columns:
        """Return the columns of a model. Raises ValueError for a cross of a feature that is not there."""
        if unknown := {name for cross in crosses for name in (cross.value, cross.where)} - set(features):
            raise ValueError(f"no feature {', '.join(sorted(unknown))} to cross: there are {', '.join(features)}")
        return cls(
            np.array([features.index(cross.value) for cross in crosses], dtype=np.int64),
            np.array([features.index(cross.where) for cross in crosses], dtype=np.int64),
            np.array([cross.above for cross in crosses]),
            np.array([cross.below for cross in crosses]),
        )

    def fill(self, x: Vector) -> Vector:
        """Return the columns of a vector; itself where there are no crosses."""
        return crossed(x, *self) if self.value.size else x

    def fill_all(self, xs: Vector) -> Vector:
        """Return the columns of each row."""
        if not self.value.size:
            return xs
        flags, values = xs[:, self.flag], xs[:, self.value]
        holds = (self.above < flags) & (flags < self.below)
        return np.hstack((xs, np.where(holds, values, np.nan)))
