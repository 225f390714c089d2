"""The arithmetic of an additive logistic regression, compiled at its first use and cached.

No fast-math: a score is the same to the last bit wherever it is computed.
"""

from __future__ import annotations

import math

import numpy as np

from online_models.additive_state import Additive
from online_models.base import Vector
from online_models.compiled import compiled

CENTRE_MEMORY = 1_000.0
"""Examples over which a feature's typical contribution is averaged."""


@compiled
def _knot_below(value: float, knots: Vector) -> int:
    """Return the index of the last knot not above `value`, -1 when there is none."""
    low, high = 0, knots.size
    while low < high:
        middle = (low + high) // 2
        if knots[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low - 1


@compiled
def _place(value: float, knots: Vector) -> tuple[int, float]:
    """Return a cell and the share, in [0, 1), of the cell after it; 0 outside the knots."""
    below = _knot_below(value, knots)
    if below < 0 or below + 1 >= knots.size or math.isinf(knots[below + 1]):
        return max(below, 0), 0.0
    return below, float((value - knots[below]) / (knots[below + 1] - knots[below]))


@compiled
def _between(weights: Vector, cell: int, share: float) -> float:
    """Return the value of the piecewise-linear function."""
    if share == 0.0:
        return float(weights[cell])
    return float(weights[cell] * (1.0 - share) + weights[cell + 1] * share)


@compiled
def _contribution(value: float, knots: Vector, weights: Vector) -> float:
    if math.isnan(value):
        return float(weights[-1])
    cell, share = _place(value, knots)
    return _between(weights, cell, share)


@compiled
def contributions(x: Vector, model: Additive) -> Vector:
    """Return each feature's log-odds less what it typically contributes."""
    terms = np.empty(x.size)
    for f in range(x.size):
        terms[f] = _contribution(x[f], model.knots[f], model.weights[f]) - model.centre[f]
    return terms


@compiled
def intercept(model: Additive) -> float:
    """Return the log-odds when every feature contributes what it typically does."""
    total = model.scalars[0]
    for f in range(model.centre.size):
        total += model.centre[f]
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
    logit = intercept(model)
    for f in range(x.size):
        if math.isinf(x[f]):
            return math.nan
        logit += _contribution(x[f], model.knots[f], model.weights[f]) - model.centre[f]
    return probability(logit)


@compiled
def explain(x: Vector, model: Additive, k: int) -> tuple[float, float, Vector, Vector]:
    """Return score (NaN when a value is infinite), intercept, contributions, and where the k largest stand."""
    start = intercept(model)
    terms = contributions(x, model)
    logit = start
    for f in range(x.size):
        logit += math.nan if math.isinf(x[f]) else terms[f]
    score = math.nan if math.isnan(logit) else probability(logit)
    return score, start, terms, largest(terms, k)


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
def _step(model: Additive, f: int, cell: int, gradient: float) -> None:
    """Move one weight as `river.optim.FTRLProximal` does: a gradient acts when its cell is next learned."""
    alpha, beta, l1, l2 = model.rates[0], model.rates[1], model.rates[2], model.rates[3]
    z, n = model.z[f, cell], model.n[f, cell]
    if abs(z) > l1:
        model.weights[f, cell] = -(z - math.copysign(l1, z)) / ((beta + math.sqrt(n)) / alpha + l2)
    grown = n + gradient * gradient
    model.z[f, cell] = z + gradient - (math.sqrt(grown) - math.sqrt(n)) / alpha * model.weights[f, cell]
    model.n[f, cell] = grown


@compiled
def _count(value: float, f: int, cell: int, model: Additive) -> None:
    """Count a value in the histogram: on the knot of its cell, above it, or below the first."""
    knot = model.knots[f, cell]
    column = 2 * cell + 1 if value == knot else 2 * cell + 2 if value > knot else 2 * cell
    model.counts[f, column] += 1.0
    model.extent[f, 0] = min(model.extent[f, 0], value)
    model.extent[f, 1] = max(model.extent[f, 1], value)


@compiled
def _learn_feature(value: float, f: int, gradient: float, model: Additive) -> float:
    """Step on the one or two cells that `value` touches; return what it contributed before."""
    missing = model.weights.shape[1] - 1
    if math.isnan(value):
        contributed = float(model.weights[f, missing])
        _step(model, f, missing, gradient)
        return contributed
    cell, share = _place(value, model.knots[f])
    _count(value, f, cell, model)
    if math.isinf(model.knots[f, cell]):
        return 0.0
    contributed = _between(model.weights[f], cell, share)
    _step(model, f, cell, gradient * (1.0 - share))
    if share > 0.0:
        _step(model, f, cell + 1, gradient * share)
    return contributed


@compiled
def learn(x: Vector, target: float, weight: float, model: Additive) -> bool:
    """Learn one example by log loss; False, with nothing changed, when a value is infinite."""
    predicted = score(x, model)
    if math.isnan(predicted):
        return False
    gradient = weight * (predicted - target)
    model.scalars[1] += 1.0
    pace = 1.0 / min(model.scalars[1], CENTRE_MEMORY)
    for f in range(x.size):
        contributed = _learn_feature(x[f], f, gradient, model)
        model.centre[f] += pace * (contributed - model.centre[f])
    model.scalars[0] -= model.rates[4] * gradient
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
