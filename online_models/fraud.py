"""The fraud model: an additive logistic regression, learned from every label, whose reasons add up."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
import numpy as np

from online_models import additive_kernels as kernels
from online_models.additive_state import Additive, empty, forget_histograms, place, placed
from online_models.base import Explanation, Model, Vector, checked_weight, finite, infinite, vector
from online_models.crosses import FRAUD, Columns, Cross, among
from online_models.knots import QUANTILES, fits, histogram_knots, quantile_knots
from online_models.snapshots import decoded


class AdditiveSettings(msgspec.Struct, frozen=True):
    """How an `AdditiveLogistic` learns."""

    alpha: float = 0.5
    """FTRL's learning rate."""
    beta: float = 1.0
    """FTRL's smoothing: larger makes first steps smaller."""
    l1: float = 0.0
    l2: float = 0.0
    bias_rate: float = 0.01
    """Learning rate of the bias, which follows the overall rate of positives."""
    quantiles: tuple[float, ...] = QUANTILES
    warm_up: int = 2_000
    """Examples kept until the first knots can be placed."""
    refit_every: int = 50_000
    """Most examples between two placements of the knots."""
    base_rate: float = 0.01
    """Score before the first example, in (0, 1)."""
    crosses: tuple[Cross, ...] = ()
    """What a feature says where another says so; a function of its own each, which counts as the feature's."""


class _Snapshot(msgspec.Struct, frozen=True):
    kind: Literal["additive"]
    features: tuple[str, ...]
    settings: AdditiveSettings
    next_refit: int
    waiting: bytes
    arrays: dict[str, bytes]


class AdditiveLogistic:
    """Logistic regression on piecewise-linear functions, one per feature and cross, learned by FTRL-proximal.

    Each feature is spread over hat functions on its quantiles; values beyond the outer knots count as the
    outer knots, missing values have a weight of their own. It equals `hat_basis.reference` to 1e-9.

    The first `warm_up` examples are kept, to place the knots, and then learned in order; until then every
    score is the rate of positives so far and `ready` is False. Each time the number of examples has doubled, at
    the latest every `refit_every`, the knots of features whose distribution has left them are placed anew; the
    function keeps its value at every new knot.
    """

    def __init__(self, features: tuple[str, ...], settings: AdditiveSettings | None = None) -> None:
        self.features = tuple(features)
        self.settings = settings or AdditiveSettings()
        self._columns = Columns.of(self.features, self.settings.crosses)
        self._state = self._empty()
        self._state.scalars[0] = _log_odds(self.settings.base_rate)
        self._waiting: list[Vector] = []
        self._told = (0.0, 0.0)
        self._next_refit = 2 * self.settings.warm_up

    def _empty(self) -> Additive:
        s = self.settings
        rates = np.array([s.alpha, s.beta, s.l1, s.l2, s.bias_rate])
        return empty(len(self.features), len(s.quantiles), rates, self._columns.value)

    @property
    def ready(self) -> bool:
        """Return whether the knots stand, so that scores depend on the features."""
        return self.learned > 0

    @property
    def learned(self) -> int:
        """Return how many examples have moved the weights."""
        return int(self._state.scalars[1])

    @property
    def intercept(self) -> float:
        """Return the log-odds when every feature contributes what it typically does."""
        return float(kernels.intercept(self._state))

    @property
    def knots(self) -> tuple[Vector, ...]:
        """Return the knots of each feature, then of each cross."""
        return tuple(placed(self._state, column) for column in range(len(self._state.knots)))

    @property
    def weights(self) -> tuple[Vector, ...]:
        """Return the weights of each feature and cross, in log-odds: one per knot, then that of a missing value."""
        rows = zip(self._state.weights, self.knots, strict=True)
        return tuple(np.append(row[: knots.size], row[-1]) for row, knots in rows)

    def score_one(self, x: Vector) -> float:
        """Return the probability of the positive label, in [0, 1]. Changes nothing."""
        x = vector(x, self.features)
        score = float(kernels.score(self._columns.fill(x), self._state))
        if math.isnan(score):
            raise infinite(x, self.features)
        return score

    def contributions(self, x: Vector) -> Vector:
        """Return what each feature adds to the log-odds, beyond what it typically does."""
        x = finite(x, self.features)
        terms: Vector = kernels.contributions(self._columns.fill(x), self._state)
        return terms

    def explain_one(self, x: Vector, k: int) -> Explanation:
        """Return the score of `x` with what makes it, in one go."""
        x, state = vector(x, self.features), self._state
        score, logit, intercept, terms, largest = kernels.explain(
            self._columns.fill(x), state.knots, state.weights, state.centre, state.owners, state.scalars, k
        )
        if math.isnan(score):
            raise infinite(x, self.features)
        return Explanation(score, logit, intercept, terms, [int(at) for at in largest.tolist() if at >= 0.0])

    def learn_one(self, x: Vector, y: bool, weight: float = 1.0) -> None:
        """Learn that `x` had the label `y`, counted `weight` times; weight 0 changes nothing."""
        x = vector(x, self.features)
        if checked_weight(weight) == 0.0:
            return
        columns = self._columns.fill(x)
        if not self.ready:
            finite(x, self.features)
            self._wait(columns, y, weight)
            return
        if not kernels.learn(columns, float(y), weight, self._state):
            raise infinite(x, self.features)
        if self.learned >= self._next_refit:
            self._refit()

    def learn_many(self, xs: Vector, ys: Vector, weights: Vector) -> None:
        """Learn the rows of `xs` in order: the same as `learn_one` of each, to the last bit, at a fraction of the cost.

        `ys` holds 0 and 1. ValueError, with nothing learned, for an infinite value or a negative weight.
        """
        if np.isinf(xs).any():
            raise infinite(xs[np.isinf(xs).any(axis=1)][0], self.features)
        checked_weight(float(weights.min(initial=0.0)))
        columns = self._columns.fill_all(xs)
        done = 0
        while done < len(xs):
            if not self.ready:
                self.learn_one(xs[done], bool(ys[done]), float(weights[done]))
                done += 1
                continue
            done += kernels.learn_many(columns[done:], ys[done:], weights[done:], self._state, float(self._next_refit))
            if self.learned >= self._next_refit:
                self._refit()

    def _wait(self, columns: Vector, y: bool, weight: float) -> None:
        """Keep an example until there are enough to place the knots, then learn them all."""
        self._waiting.append(np.append(columns, (float(y), weight)))
        self._count_waiting(float(y), weight)
        if len(self._waiting) == self.settings.warm_up:
            self._place_first_knots()

    def _count_waiting(self, y: float, weight: float) -> None:
        """Let the score before there are knots be the rate of positives so far."""
        self._told = (self._told[0] + y * weight, self._told[1] + weight)
        self._state.scalars[0] = _log_odds((self._told[0] + self.settings.base_rate) / (self._told[1] + 1.0))

    def _place_first_knots(self) -> None:
        kept = np.stack(self._waiting)
        for column in range(len(self._state.knots)):
            place(self._state, column, quantile_knots(kept[:, column], self.settings.quantiles))
        for row in kept:
            kernels.learn(row[:-2], row[-2], row[-1], self._state)
        self._waiting.clear()

    def _refit(self) -> None:
        """Move the knots of the columns that have outgrown theirs, and begin all histograms again."""
        quantiles = self.settings.quantiles
        for column, old in enumerate(self.knots):
            counts, extent = self._state.counts[column], self._state.extent[column]
            if not fits(counts, old, quantiles):
                place(self._state, column, histogram_knots(old, counts, extent, quantiles))
        forget_histograms(self._state)
        self._next_refit = self.learned + min(self.learned, self.settings.refit_every)

    def snapshot(self) -> bytes:
        """Return all of the state as MessagePack: plain data, some 45 kB for 40 features and 10 crosses once ready.

        While it warms up, the kept examples add 8 bytes per number.
        """
        arrays = {name: array.astype("<f8").tobytes() for name, array in _learned(self._state).items()}
        waiting = b"".join(row.astype("<f8").tobytes() for row in self._waiting)
        said = _Snapshot("additive", self.features, self.settings, self._next_refit, waiting, arrays)
        return msgspec.msgpack.encode(said)

    def restore(self, blob: bytes) -> None:
        """Take over a snapshot with its settings; `ValueError` when it is not one of these features."""
        told = decoded(blob, _Snapshot, self.features)
        self.settings = told.settings
        self._next_refit = told.next_refit
        self._columns = Columns.of(self.features, told.settings.crosses)
        state = self._empty()
        self._state = state._replace(
            **{
                name: np.frombuffer(told.arrays[name], "<f8").astype(np.float64).reshape(array.shape)
                for name, array in _learned(state).items()
            }
        )
        rows = np.frombuffer(told.waiting, "<f8").astype(np.float64)
        self._waiting = list(rows.reshape(-1, len(state.knots) + 2))
        self._told = (0.0, 0.0)
        for row in self._waiting:
            self._count_waiting(float(row[-2]), float(row[-1]))


def build(kind: str, features: tuple[str, ...]) -> Model:
    """Return a new model of a kind, `additive`, `logistic` or `forest`; `ValueError` for any other."""
    if kind == "additive":
        return AdditiveLogistic(features, AdditiveSettings(crosses=among(features, FRAUD)))
    # River takes seconds to import, which a worker that runs the default model is spared.
    from online_models.river_models import RiverForest, RiverLogistic

    if kind == "logistic":
        return RiverLogistic(features)
    if kind == "forest":
        return RiverForest(features)
    raise ValueError(f"unknown model {kind!r}: use additive, logistic or forest")


def _learned(state: Additive) -> dict[str, Any]:
    """Return the arrays that learning changes: all but what the settings tell."""
    return {name: array for name, array in state._asdict().items() if name != "owners"}


def _log_odds(probability: float) -> float:
    return math.log(probability / (1.0 - probability))
