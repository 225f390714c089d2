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
def _surprise(f: int, own: int, masses: Matrix) -> float:
    """Return -ln of the share of values at least as far out as a bin, on the nearer side, times two."""
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
        if math.isnan(x[f]):
            terms[f] = -math.log(1.0 - model.known[f])
        else:
            own = _bin(_fold(x[f]), model.scales, f, model.masses.shape[1])
            terms[f] = _surprise(f, own, model.masses)
    return terms


@compiled
def bin_surprises(model: Histograms) -> Matrix:
    """Return the surprise of a value in each bin, (F, B + 1): the last column is that of a missing value."""
    masses = model.masses
    bins = masses.shape[1]
    terms = np.empty((masses.shape[0], bins + 1))
    for f in range(masses.shape[0]):
        below = 0.0
        for b in range(bins):
            low = below + 0.5 * masses[f, b]
            terms[f, b] = -math.log(min(2.0 * min(low, 1.0 - low), 1.0))
            below += masses[f, b]
        terms[f, bins] = -math.log(1.0 - model.known[f])
    return terms


@compiled
def shares_below(surprises: Vector) -> Vector:
    """Return the share of the examples in the bins below each."""
    below = np.zeros(surprises.size)
    for b in range(1, surprises.size):
        below[b] = below[b - 1] + surprises[b - 1]
    return below


@compiled
def score(x: Vector, scales: Matrix, terms: Matrix, surprises: Vector, below: Vector) -> float:
    """Return the share of examples that surprised less; NaN when a value is infinite.

    `terms` are `bin_surprises` and `below` are `shares_below`, which hold until the next example is learned.
    """
    total, bins = 0.0, terms.shape[1] - 1
    for f in range(x.size):
        if math.isinf(x[f]):
            return math.nan
        total += terms[f, bins if math.isnan(x[f]) else _bin(_fold(x[f]), scales, f, bins)]
    mean = total / x.size
    place = mean / (1.0 + mean) * surprises.size
    own = min(int(place), surprises.size - 1)
    return float(min(below[own] + (place - own) * surprises[own], 1.0))


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
def _learn_value(value: float, f: int, pace: float, scales: Matrix, masses: Matrix) -> float:
    """Learn a value that is not missing; return how surprising it was before."""
    folded = _fold(value)
    own = _bin(folded, scales, f, masses.shape[1])
    surprise = _surprise(f, own, masses)
    _remember_value(masses, f, own, pace)
    away = folded - scales[f, 0]
    scales[f, 0] += pace * away
    scales[f, 1] = (1.0 - pace) * (scales[f, 1] + pace * away * away)
    return surprise


@compiled
def learn(x: Vector, model: Histograms) -> bool:
    """Learn one example; False, with nothing changed, when a value is infinite."""
    for f in range(x.size):
        if math.isinf(x[f]):
            return False
    scales, masses, known = model.scales, model.masses, model.known
    model.seen[0] += 1.0
    pace = 1.0 / min(model.seen[0] + 1.0, model.seen[1])
    total = 0.0
    for f in range(x.size):
        missing = math.isnan(x[f])
        total += -math.log(1.0 - known[f]) if missing else _learn_value(x[f], f, pace, scales, masses)
        known[f] += pace * ((SMOOTHING / 2.0 if missing else 1.0 - SMOOTHING / 2.0) - known[f])
    mean = total / x.size
    own = min(int(mean / (1.0 + mean) * model.surprises.size), model.surprises.size - 1)
    _remember(model.surprises, own, pace)
    return True


@compiled
def learn_many(xs: Vector, model: Histograms) -> None:
    """Learn rows in order."""
    for row in range(xs.shape[0]):
        learn(xs[row], model)
