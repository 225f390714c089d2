"""Which features a score comes from."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from online_models.base import Model, Vector, vector

LEAST_PROBABILITY = 1e-6
"""Scores are kept this far from 0 and 1, where log-odds are not finite."""


class Attribution(NamedTuple):
    """A score taken apart, in log-odds: `base` + the sum of `terms` + `rest` is the score's logit."""

    base: float
    """The logit at the baseline."""
    terms: Vector
    """What each feature's value adds, all others being as they are."""
    rest: float
    """What the features do only together; no feature's own."""


def top(contributions: Vector, k: int) -> tuple[int, ...]:
    """Return the indices of the `k` largest positive contributions, largest first, ties by index."""
    order = np.argsort(-contributions, kind="stable")
    return tuple(int(i) for i in order[:k] if contributions[i] > 0.0)


def ablation(model: Model, x: Vector, baseline: Vector) -> Attribution:
    """Return what replacing each value of `x` by that of `baseline`, one at a time, takes from the score.

    For models whose score is not a sum; `baseline` is a typical example, such as the means. Scores n + 2
    times.
    """
    x, baseline = vector(x, model.features), vector(baseline, model.features)
    reached = log_odds(model.score_one(x))
    base = log_odds(model.score_one(baseline))
    terms = np.array([reached - log_odds(model.score_one(_replaced(x, baseline, i))) for i in range(x.size)])
    return Attribution(base, terms, reached - base - float(terms.sum()))


def _replaced(x: Vector, baseline: Vector, index: int) -> Vector:
    changed = x.copy()
    changed[index] = baseline[index]
    return changed


def log_odds(probability: float) -> float:
    kept = min(max(probability, LEAST_PROBABILITY), 1.0 - LEAST_PROBABILITY)
    return math.log(kept / (1.0 - kept))
