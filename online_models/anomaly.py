"""How unusual an example is among all that came before, without any label."""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np

from online_models import anomaly_kernels as kernels
from online_models.anomaly_kernels import Histograms
from online_models.base import Vector, finite, infinite, vector
from online_models.snapshots import decoded

VALUE_BINS = 48
SURPRISE_BINS = 512
MEMORY = 50_000
"""Examples over which the distributions forget."""


class _Snapshot(msgspec.Struct, frozen=True):
    kind: Literal["anomaly"]
    features: tuple[str, ...]
    arrays: dict[str, bytes]


class AnomalyScore:
    """The share of past examples that were less surprising, in [0, 1]; it learns from every event.

    The surprise of a value is -ln of its two-sided tail probability in that feature's distribution, and an
    example is as surprising as its values are on average (after ECOD, Li et al. 2022, with histograms that
    forget in place of all the data). Memory and snapshot have a fixed size.
    """

    def __init__(self, features: tuple[str, ...], memory: int = MEMORY) -> None:
        if not features or memory < 2:
            raise ValueError(f"needs a feature and a memory of at least 2, got {features} and {memory}")
        self.features = tuple(features)
        self._state = _empty(len(self.features), memory)
        self._tables: tuple[Vector, ...] | None = None

    def score_one(self, x: Vector) -> float:
        """Return the share of past examples that were less surprising, in [0, 1]. Changes nothing."""
        x = vector(x, self.features)
        score: float = kernels.score(x, *(self._tables or self._tabulated()))
        if math.isnan(score):
            raise infinite(x, self.features)
        return score

    def _tabulated(self) -> tuple[Vector, ...]:
        """Return all that a score is looked up in; kept until the next example, which a published score never sees."""
        state = self._state
        below = kernels.shares_below(state.surprises)
        self._tables = (state.scales, kernels.bin_surprises(state), state.surprises, below)
        return self._tables

    def learn_one(self, x: Vector) -> None:
        """Learn that `x` happened."""
        x, self._tables = vector(x, self.features), None
        if not kernels.learn(x, self._state):
            raise infinite(x, self.features)

    def learn_many(self, xs: Vector) -> None:
        """Learn the rows of `xs` in order; ValueError, with nothing learned, if a value is infinite."""
        if np.isinf(xs).any():
            raise infinite(xs[np.isinf(xs).any(axis=1)][0], self.features)
        self._tables = None
        kernels.learn_many(xs, self._state)

    def surprises(self, x: Vector) -> Vector:
        """Return what each value adds: -ln of the share of values at least as far out, at least 0."""
        return kernels.surprises(finite(x, self.features), self._state)

    def snapshot(self) -> bytes:
        """Return all of the state as MessagePack: plain data, some 20 kB for 40 features."""
        arrays = {name: array.astype("<f8").tobytes() for name, array in self._state._asdict().items()}
        return msgspec.msgpack.encode(_Snapshot("anomaly", self.features, arrays))

    def restore(self, blob: bytes) -> None:
        """Take over a snapshot; `ValueError` when it is of another model or of other features."""
        told = decoded(blob, _Snapshot, self.features)
        self._tables = None
        self._state = Histograms(
            **{
                name: np.frombuffer(told.arrays[name], "<f8").astype(np.float64).reshape(array.shape)
                for name, array in self._state._asdict().items()
            }
        )


def _empty(features: int, memory: int) -> Histograms:
    return Histograms(
        scales=np.tile([0.0, 1.0], (features, 1)),
        masses=np.full((features, VALUE_BINS), 1.0 / VALUE_BINS),
        known=np.full(features, 0.5),
        surprises=np.full(SURPRISE_BINS, 1.0 / SURPRISE_BINS),
        seen=np.array([0.0, float(memory)]),
    )
