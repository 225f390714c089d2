"""The arithmetic of an additive logistic regression, compiled at its first use and cached.

No fast-math: a score is the same to the last bit wherever it is computed.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from online_models.additive_state import Additive, Indices
from online_models.base import Vector
from online_models.compiled import compiled

CENTRE_MEMORY = 1_000.0
"""Examples over which a feature's typical contribution is averaged."""

Matrix = npt.NDArray[np.float64]
"""One row per column: the features, then the crosses.

Rows are indexed, not sliced: a slice costs more than what is computed from it.
"""


@compiled
def _knot_below(value: float, knots: Matrix, f: int) -> int:
    """Return the index of a feature's last knot not above `value`, -1 when there is none."""
    low, high = 0, knots.shape[1]
    while low < high:
        middle = (low + high) // 2
        if knots[f, middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low - 1


@compiled
def _place(value: float, knots: Matrix, f: int) -> tuple[int, float]:
    """Return a cell and the share, in [0, 1), of the cell after it; 0 outside the knots."""
    below = _knot_below(value, knots, f)
    if below < 0 or below + 1 >= knots.shape[1] or math.isinf(knots[f, below + 1]):
        return max(below, 0), 0.0
    return below, float((value - knots[f, below]) / (knots[f, below + 1] - knots[f, below]))


@compiled
def _between(weights: Matrix, f: int, cell: int, share: float) -> float:
    """Return the value of the piecewise-linear function."""
    if share == 0.0:
        return float(weights[f, cell])
    return float(weights[f, cell] * (1.0 - share) + weights[f, cell + 1] * share)


@compiled
def contribution(value: float, knots: Matrix, weights: Matrix, f: int) -> float:
    """Return what a value of a feature says, in log-odds; also of a missing one."""
    if math.isnan(value):
        return float(weights[f, weights.shape[1] - 1])
    cell, share = _place(value, knots, f)
    return _between(weights, f, cell, share)


@compiled
def crossed(x: Vector, value: Indices, flag: Indices, above: Vector, below: Vector) -> Vector:
    """Return the features followed by their crosses: a value where its flag lies strictly between, else NaN."""
    columns = np.empty(x.size + value.size)
    columns[: x.size] = x
    for cross in range(value.size):
        holds = above[cross] < x[flag[cross]] < below[cross]
        columns[x.size + cross] = x[value[cross]] if holds else math.nan
    return columns


@compiled
def _terms(x: Vector, knots: Matrix, weights: Matrix, centre: Vector, owners: Indices) -> Vector:
    """Return each feature's log-odds less what it typically contributes; its crosses count as its own."""
    features = x.size - owners.size
    terms = np.empty(features)
    for f in range(features):
        terms[f] = contribution(x[f], knots, weights, f) - centre[f]
    for cross in range(owners.size):
        column = features + cross
        terms[owners[cross]] += contribution(x[column], knots, weights, column) - centre[column]
    return terms


@compiled
def contributions(x: Vector, model: Additive) -> Vector:
    """Return each feature's log-odds less what it typically contributes; its crosses count as its own."""
    return _terms(x, model.knots, model.weights, model.centre, model.owners)


@compiled
def intercept(model: Additive) -> float:
    """Return the log-odds when every feature contributes what it typically does."""
    return _intercept(model.scalars, model.centre)


@compiled
def _intercept(scalars: Vector, centre: Vector) -> float:
    total = scalars[0]
    for f in range(centre.size):
        total += centre[f]
    return float(total)


@compiled
def probability(logit: float) -> float:
    """Return the logistic function of `logit`, without overflow."""
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1.0 + odds)


@compiled
def score(x: Vector, model: Additive) -> float:
    """Return the probability of the positive label; NaN when a value is infinite."""
    logit = _intercept(model.scalars, model.centre)
    terms = _terms(x, model.knots, model.weights, model.centre, model.owners)
    for f in range(terms.size):
        logit += math.nan if math.isinf(x[f]) else terms[f]
    return math.nan if math.isnan(logit) else probability(logit)


@compiled
def explain(
    x: Vector, knots: Matrix, weights: Matrix, centre: Vector, owners: Indices, scalars: Vector, k: int
) -> tuple[float, float, float, Vector, Vector]:
    """Return score (NaN when a value is infinite), log-odds, intercept, contributions, and where the largest stand.

    The arrays are those of the model: to hand over all of it costs more than to go through these.
    """
    start = _intercept(scalars, centre)
    terms = _terms(x, knots, weights, centre, owners)
    logit = start
    for f in range(terms.size):
        logit += math.nan if math.isinf(x[f]) else terms[f]
    score = math.nan if math.isnan(logit) else probability(logit)
    return score, logit, start, terms, largest(terms, k)


@compiled
def largest(terms: Vector, k: int) -> Vector:
    """Return the indices of the k largest positive numbers, largest first, ties by index; -1 where there are fewer."""
    best = np.full(k, -1.0)
    for f in range(terms.size):
        if terms[f] <= 0.0:
            continue
        at, held = 0, float(f)
        while at < k:
            there = int(best[at])
            if there < 0 or terms[int(held)] > terms[there]:
                best[at], held = held, best[at]
            if held < 0.0:
                break
            at += 1
    return best


@compiled
def _step(z: Matrix, n: Matrix, weights: Matrix, rates: Vector, f: int, cell: int, gradient: float) -> None:
    """Move one weight as `river.optim.FTRLProximal` does: a gradient acts when its cell is next learned."""
    alpha, beta, l1, l2 = rates[0], rates[1], rates[2], rates[3]
    pulled, seen = z[f, cell], n[f, cell]
    root = math.sqrt(seen)
    if abs(pulled) > l1:
        weights[f, cell] = -(pulled - math.copysign(l1, pulled)) / ((beta + root) / alpha + l2)
    grown = seen + gradient * gradient
    z[f, cell] = pulled + gradient - (math.sqrt(grown) - root) / alpha * weights[f, cell]
    n[f, cell] = grown


@compiled
def _count(value: float, knots: Matrix, counts: Matrix, extent: Matrix, f: int, cell: int) -> None:
    """Count a value in the histogram: on the knot of its cell, above it, or below the first."""
    knot = knots[f, cell]
    column = 2 * cell + 1 if value == knot else 2 * cell + 2 if value > knot else 2 * cell
    counts[f, column] += 1.0
    extent[f, 0] = min(extent[f, 0], value)
    extent[f, 1] = max(extent[f, 1], value)


@compiled
def learn(x: Vector, target: float, weight: float, model: Additive) -> bool:
    """Learn one example by log loss; False, with nothing changed, when a value is infinite.

    Each column steps on the one or two cells that its value touches, or on that of a missing value.
    """
    predicted = score(x, model)
    if math.isnan(predicted):
        return False
    gradient = weight * (predicted - target)
    knots, weights, z, n, rates, centre = model.knots, model.weights, model.z, model.n, model.rates, model.centre
    model.scalars[1] += 1.0
    pace = 1.0 / min(model.scalars[1], CENTRE_MEMORY)
    missing = weights.shape[1] - 1
    for f in range(x.size):
        cell, share, contributed = missing, 0.0, weights[f, missing]
        if not math.isnan(x[f]):
            cell, share = _place(x[f], knots, f)
            _count(x[f], knots, model.counts, model.extent, f, cell)
            contributed = 0.0 if math.isinf(knots[f, cell]) else _between(weights, f, cell, share)
        if cell == missing or not math.isinf(knots[f, cell]):
            _step(z, n, weights, rates, f, cell, gradient * (1.0 - share))
            if share > 0.0:
                _step(z, n, weights, rates, f, cell + 1, gradient * share)
        centre[f] += pace * (contributed - centre[f])
    model.scalars[0] -= rates[4] * gradient
    return True


@compiled
def learn_many(xs: Vector, targets: Vector, weights: Vector, model: Additive, until: float) -> int:
    """Learn rows in order until `until` examples have been learned in all; return how many rows were gone through."""
    for row in range(xs.shape[0]):
        if model.scalars[1] >= until:
            return row
        if weights[row] > 0.0:
            learn(xs[row], targets[row], weights[row], model)
    return int(xs.shape[0])
