"""The ranker: the additive model with settings for few and plentiful positives, scoring all candidates at once."""

from __future__ import annotations

import numpy as np

from online_models import additive_kernels as kernels
from online_models.additive_state import Additive
from online_models.base import Vector, infinite
from online_models.compiled import compiled
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


class AdditiveRanker(AdditiveLogistic):
    """The probability that an offer is taken up, by an additive logistic regression on customer, offer and crosses."""

    def __init__(self, features: tuple[str, ...], settings: AdditiveSettings = RANKING) -> None:
        super().__init__(features, settings)

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


@compiled
def _scores(xs: Vector, model: Additive) -> Vector:
    """Return the score of each row; NaN where a value is infinite."""
    scores = np.empty(xs.shape[0])
    for row in range(xs.shape[0]):
        scores[row] = kernels.score(xs[row], model)
    return scores
