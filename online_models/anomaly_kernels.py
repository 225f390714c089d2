"""The arithmetic of the anomaly score: histograms that forget, and the tails of their distributions."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from online_models.additive_state import Matrix
from online_models.base import Vector
from online_models.compiled import compiled

SMOOTHING = 0.01
"""Share of every example that is spread evenly over all bins, so that no tail is ever empty."""


class Histograms(NamedTuple):
    """The state for F features of B bins; kernels change the arrays in place."""

    scales: Matrix
    """(F, 2), running mean and variance of the folded values."""
    masses: Matrix
    """(F, B), share of the values in each bin; a row sums to 1."""
    known: Vector
    """(F,), share of the values that are not missing."""
    surprises: Vector
    """(C,), share of the examples by their mean surprise."""
    seen: Vector
    """(2,), how many examples were learned, and how many are remembered at most."""


@compiled
def _fold(value: float) -> float:
    """Return the value on a scale that is linear near 0 and logarithmic far from it."""
    return math.asinh(value)


@compiled
def _bin(folded: float, scales: Matrix, f: int, bins: int) -> int:
    """Return the bin of a folded value; the bins are finest about the running mean."""
    z = (folded - scales[f, 0]) / math.sqrt(scales[f, 1] + 1e-12)
    return min(int((0.5 + 0.5 * z / (2.0 + abs(z))) * bins), bins - 1)


@compiled
def _surprise(value: float, f: int, scales: Matrix, masses: Matrix, known: Vector) -> float:
    """Return -ln of the share of values at least this far out, on the nearer side, times two."""
    if math.isnan(value):
        return -math.log(1.0 - known[f])
    own = _bin(_fold(value), scales, f, masses.shape[1])
    below = 0.0
    for b in range(own):
        below += masses[f, b]
    low = below + 0.5 * masses[f, own]
    return -math.log(min(2.0 * min(low, 1.0 - low), 1.0))


@compiled
def surprises(x: Vector, model: Histograms) -> Vector:
    """Return the surprise of each value, at least 0."""
    terms = np.empty(x.size)
    for f in range(x.size):
        terms[f] = _surprise(x[f], f, model.scales, model.masses, model.known)
    return terms


@compiled
def _mean_surprise(x: Vector, model: Histograms) -> float:
    total = 0.0
    scales, masses, known = model.scales, model.masses, model.known
    for f in range(x.size):
        if math.isinf(x[f]):
            return math.nan
        total += _surprise(x[f], f, scales, masses, known)
    return total / x.size


@compiled
def score(x: Vector, model: Histograms) -> float:
    """Return the share of examples that surprised less; NaN when a value is infinite."""
    mean = _mean_surprise(x, model)
    if math.isnan(mean):
        return mean
    place = mean / (1.0 + mean) * model.surprises.size
    own = min(int(place), model.surprises.size - 1)
    below = 0.0
    for b in range(own):
        below += model.surprises[b]
    return float(min(below + (place - own) * model.surprises[own], 1.0))


@compiled
def _remember(masses: Vector, own: int, pace: float) -> None:
    """Let a histogram forget a little and count one value in bin `own`."""
    spread = pace * SMOOTHING / masses.size
    for b in range(masses.size):
        masses[b] = masses[b] * (1.0 - pace) + spread
    masses[own] += pace * (1.0 - SMOOTHING)


@compiled
def _remember_value(masses: Matrix, f: int, own: int, pace: float) -> None:
    """Let a feature's histogram forget a little and count one value in bin `own`."""
    spread, kept = pace * SMOOTHING / masses.shape[1], 1.0 - pace
    for b in range(masses.shape[1]):
        masses[f, b] = masses[f, b] * kept + spread
    masses[f, own] += pace * (1.0 - SMOOTHING)


@compiled
def _learn_value(folded: float, f: int, own: int, pace: float, scales: Matrix, masses: Matrix) -> None:
    _remember_value(masses, f, own, pace)
    away = folded - scales[f, 0]
    scales[f, 0] += pace * away
    scales[f, 1] = (1.0 - pace) * (scales[f, 1] + pace * away * away)


@compiled
def learn(x: Vector, model: Histograms) -> bool:
    """Learn one example; False, with nothing changed, when a value is infinite."""
    mean = _mean_surprise(x, model)
    if math.isnan(mean):
        return False
    scales, masses, known = model.scales, model.masses, model.known
    model.seen[0] += 1.0
    pace = 1.0 / min(model.seen[0] + 1.0, model.seen[1])
    own = min(int(mean / (1.0 + mean) * model.surprises.size), model.surprises.size - 1)
    _remember(model.surprises, own, pace)
    for f in range(x.size):
        missing = math.isnan(x[f])
        known[f] += pace * ((SMOOTHING / 2.0 if missing else 1.0 - SMOOTHING / 2.0) - known[f])
        if not missing:
            folded = _fold(x[f])
            _learn_value(folded, f, _bin(folded, scales, f, masses.shape[1]), pace, scales, masses)
    return True


@compiled
def learn_many(xs: Vector, model: Histograms) -> None:
    """Learn rows in order."""
    for row in range(xs.shape[0]):
        learn(xs[row], model)
