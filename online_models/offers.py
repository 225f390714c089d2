"""The ranker: the additive model with settings for few and plentiful positives, scoring all candidates at once."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from online_models import additive_kernels as kernels
from online_models.additive_state import Additive, grown
from online_models.base import Vector, checked_weight, finite, infinite
from online_models.compiled import compiled
from online_models.crosses import Columns
from online_models.fraud import AdditiveLogistic, AdditiveSettings

RANKING = AdditiveSettings(
    alpha=0.03,
    bias_rate=0.001,
    quantiles=(0.02, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.98),
    warm_up=200,
    refit_every=250,
    base_rate=0.4,
)
"""Smaller steps than for fraud, as many features say nearly the same; knots that are looked after often, since what is
known of customers grows while the model is young."""


class _OfFeatures(msgspec.Struct, frozen=True):
    features: tuple[str, ...]


class AdditiveRanker(AdditiveLogistic):
    """The probability that an offer is taken up, by an additive logistic regression on customer, offer and crosses."""

    def __init__(self, features: tuple[str, ...], settings: AdditiveSettings = RANKING) -> None:
        super().__init__(features, settings)

    def restore(self, blob: bytes) -> None:
        """Take over a snapshot with its settings. One of only the first features goes on, and scores by these.

        `ValueError` when it is of any others. To features that it does not have nothing is known, and examples that it
        keeps to place its knots have no value of them.
        """
        known = _features_of(blob)
        more = len(self.features) - len(known)
        if more <= 0 or known != self.features[: len(known)]:
            super().restore(blob)
            return
        earlier = AdditiveRanker(known)
        earlier.restore(blob)
        self._grow_from(earlier, more)

    def _grow_from(self, earlier: AdditiveRanker, more: int) -> None:
        width = len(earlier.features)
        self.settings, self._next_refit, self._told = earlier.settings, earlier._next_refit, earlier._told
        self._columns = Columns.of(self.features, self.settings.crosses)
        self._state = grown(earlier._state, width, more)
        self._waiting = [np.insert(row, width, np.full(more, np.nan)) for row in earlier._waiting]

    def score_many(self, xs: Vector) -> Vector:
        """Return the score of each row of `xs`: the same as `score_one` of each, to the last bit. Changes nothing.

        ValueError for rows of another length than `features`, and for an infinite value.
        """
        if xs.ndim != 2 or xs.shape[1] != len(self.features):
            raise ValueError(f"expected rows of {len(self.features)} numbers, one per feature, got shape {xs.shape}")
        scores: Vector = _scores(np.ascontiguousarray(xs, dtype=np.float64), self._state)
        if np.isnan(scores).any():
            raise infinite(xs[np.isinf(xs).any(axis=1)][0], self.features)
        return scores

    def correct_one(self, x: Vector, before: float, after: float, weight: float = 1.0) -> None:
        """Learn that `x`, which was learned with the reward `before`, had the reward `after`, counted `weight` times.

        While examples are kept to place the knots, this one is kept with the other reward: as if it had never been
        learned otherwise. Afterwards the right reward is learned as an example of its own, and the wrong one stays. A
        step that takes that back would be the same however far the model has come since, and overshoots. A reward r is
        learned as the pair of 1, weighing r, and 0, weighing 1 − r. ValueError for a weight that is negative.
        """
        x = finite(x, self.features)
        checked_weight(weight)
        if not self.ready:
            self._forget(self._columns.fill(x), before, weight)
        for label, share in paired(after, weight):
            self.learn_one(x, label, share)

    def _forget(self, columns: Vector, reward: float, weight: float) -> None:
        """Take the last lesson of these columns, reward and weight off those that are kept."""
        for label, share in paired(reward, weight):
            lesson = np.append(columns, (float(label), share))
            kept = np.array(self._waiting).reshape(-1, lesson.size)
            alike = np.flatnonzero(((kept == lesson) | (np.isnan(kept) & np.isnan(lesson))).all(axis=1))
            if alike.size:
                del self._waiting[alike[-1]]
        self._told = (0.0, 0.0)
        for row in self._waiting:
            self._count_waiting(float(row[-2]), float(row[-1]))


def _features_of(blob: bytes) -> tuple[str, ...]:
    try:
        return msgspec.msgpack.decode(blob, type=_OfFeatures).features
    except msgspec.DecodeError as error:
        raise ValueError(f"not a snapshot of this model: {error}") from error


def paired(reward: float, weight: float) -> list[tuple[bool, float]]:
    """Return a reward in [0, 1] as labels with their weights: 1 and 0, and neither where it weighs nothing.

    >>> paired(0.25, 2.0), paired(1.0, 2.0)
    ([(True, 0.5), (False, 1.5)], [(True, 2.0)])
    """
    return [(label, share) for label, share in ((True, reward * weight), (False, (1.0 - reward) * weight)) if share]


@compiled
def _scores(xs: Vector, model: Additive) -> Vector:
    """Return the score of each row; NaN where a value is infinite.

    Candidates are ranked for one customer: what they have in common is looked up once.
    """
    scores = np.full(xs.shape[0], kernels.intercept(model))
    for f in range(xs.shape[1]):
        value, term = math.nan, model.weights[f, -1] - model.centre[f]
        for row in range(xs.shape[0]):
            if xs[row, f] != value and not (math.isnan(value) and math.isnan(xs[row, f])):
                value = xs[row, f]
                term = kernels.contribution(value, model.knots, model.weights, f) - model.centre[f]
                term = math.nan if math.isinf(value) else term
            scores[row] += term
    for row in range(xs.shape[0]):
        scores[row] = scores[row] if math.isnan(scores[row]) else kernels.probability(scores[row])
    return scores
