"""The arithmetic of a choice among candidates, compiled at its first use and cached; no fast-math, so it is exact."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from online_models.base import Vector
from online_models.compiled import compiled


@compiled
def mixed(scores: Vector, open_: npt.NDArray[np.bool_], epsilon: float) -> Vector:
    """Return 1 − ε on the highest open score, shared among equals, plus ε spread over all open ones, at least one."""
    highest, best, left = -np.inf, 0.0, 0.0
    for at in range(scores.size):
        if open_[at]:
            left += 1.0
            if scores[at] > highest:
                highest, best = scores[at], 0.0
            if scores[at] == highest:
                best += 1.0
    shares = np.zeros(scores.size)
    for at in range(scores.size):
        if open_[at]:
            shares[at] = epsilon / left
            if scores[at] == highest:
                shares[at] += (1.0 - epsilon) / best
    return shares


@compiled
def drawn(distribution: Vector, u: float) -> int:
    """Return the index that `u`, uniform in [0, 1), falls on; never one whose chance is zero."""
    total, last = 0.0, 0
    for at in range(distribution.size):
        total += distribution[at]
        if distribution[at] != 0.0:
            last = at
    cumulative, sought = 0.0, u * total
    for at in range(last):
        cumulative += distribution[at]
        if cumulative > sought:
            return at
    return last
