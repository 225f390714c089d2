"""The arithmetic of a rating model, compiled at its first use and cached.

Ratings come on a scale from 0 to 4. No fast-math: a prediction is the same to the last bit wherever it is computed.
"""

from __future__ import annotations

import math

import numpy as np

from online_models.base import Vector
from online_models.compiled import compiled
from online_models.factor_state import Factors, Indices, Items, Matrix, Users

USER_SMOOTHING, ITEM_SMOOTHING, CATEGORY_SMOOTHING, MOOD_SMOOTHING, SLOWEST = range(5)
FACTOR_RATE, FACTOR_DECAY, MOOD_MS, MOOD_KEPT = range(5, 9)
"""Where each stands among the rates, in the order of `factor_state.RATES`."""

SPAN = 4.0
"""Length of the scale that ratings are learned on."""
LARGEST = 2.0
"""Factors are kept this small, so that nothing that is rated can make them grow without end."""


@compiled
def mood(users: Users, u: int, at: float, rates: Vector) -> float:
    """Return how far above the usual this user rates at the moment, shrunken towards 0."""
    if u < 0 or users.numbers[u, 0] == 0.0:
        return 0.0
    kept = math.exp(min(users.numbers[u, 4] - at, 0.0) / rates[MOOD_MS])
    return float(kept * users.numbers[u, 2] / (kept * users.numbers[u, 3] + rates[MOOD_SMOOTHING]))


@compiled
def taste(users: Users, u: int, categories: Indices) -> float:
    """Return the user's bias on these categories, -1 an unknown one: their sum over the root of their number."""
    if u < 0 or categories.size == 0:
        return 0.0
    total = 0.0
    for c in categories:
        if c >= 0:
            total += users.taste[u, c]
    return total / math.sqrt(categories.size)


@compiled
def affinity(users: Users, items: Items, u: int, i: int) -> float:
    """Return the product of the factors; 0 when the user or the item is unknown."""
    total = 0.0
    if u < 0 or i < 0 or users.numbers[u, 0] == 0.0:
        return total
    for f in range(users.factors.shape[1]):
        total += users.factors[u, f] * items.factors[i, f]
    return total


@compiled
def affinities(factors: Matrix, rows: Indices, user: Vector) -> Vector:
    """Return the product of the factors in each of the rows with a user's, added up one after the other.

    A matrix product of BLAS adds them in an order of the processor's, which may say something else in the last bit.
    """
    products = np.zeros(rows.size)
    for at in range(rows.size):
        for f in range(user.size):
            products[at] += factors[rows[at], f] * user[f]
    return products


@compiled
def predict(model: Factors, u: int, i: int, categories: Indices, at: float) -> float:
    """Return the rating that is expected, not yet held to the scale; a row of -1 is somebody or something unknown."""
    users, items = model.users, model.items
    total = model.scalars[0]
    if u >= 0:
        total += users.numbers[u, 1]
    if i >= 0:
        total += items.numbers[i, 1]
    return float(total + mood(users, u, at, model.rates) + taste(users, u, categories) + affinity(users, items, u, i))


@compiled
def predict_many(model: Factors, u: int, rows: Indices, starts: Indices, categories: Indices, at: float) -> Vector:
    """Return what is expected of the items in `rows`; the categories of the kth begin at `starts[k]`."""
    expected = np.empty(rows.size)
    for k in range(rows.size):
        own = categories[starts[k] : starts[k + 1]]
        expected[k] = predict(model, u, rows[k], own, at)
    return expected


@compiled
def _pace(count: float, smoothing: float, slowest: float) -> float:
    """Return the step of a running mean that began with `smoothing` zeros, and never stands still."""
    return max(1.0 / (count + smoothing), slowest)


@compiled
def learn(model: Factors, u: int, i: int, categories: Indices, at: float, rating: float) -> None:
    """Learn one rating by stochastic gradient descent on the squared error, each bias at the pace of a running mean."""
    users, items, scalars, rates = model.users, model.items, model.scalars, model.rates
    error = rating - predict(model, u, i, categories, at)
    _learn_mood(users, u, at, error, rates)
    _learn_factors(users, items, u, i, error, rates)
    _learn_taste(users, u, categories, error, rates)
    scalars[1] += 1.0
    scalars[0] += (rating - scalars[0]) / (scalars[1] + 1.0)
    users.numbers[u, 0] += 1.0
    users.numbers[u, 1] += error * _pace(users.numbers[u, 0], rates[USER_SMOOTHING], rates[SLOWEST])
    items.numbers[i, 0] += 1.0
    items.numbers[i, 1] += error * _pace(items.numbers[i, 0], rates[ITEM_SMOOTHING], rates[SLOWEST])


@compiled
def _learn_mood(users: Users, u: int, at: float, error: float, rates: Vector) -> None:
    """Add what is left once all but the mood is known; what was learned before fades by time and by rating."""
    numbers, now, kept = users.numbers, at, 0.0
    surprise = error + mood(users, u, at, rates)
    if numbers[u, 0] > 0.0:
        kept = rates[MOOD_KEPT] * math.exp(min(numbers[u, 4] - at, 0.0) / rates[MOOD_MS])
        now = max(at, numbers[u, 4])
    numbers[u, 2] = kept * numbers[u, 2] + surprise
    numbers[u, 3] = kept * numbers[u, 3] + 1.0
    numbers[u, 4] = now


@compiled
def _learn_factors(users: Users, items: Items, u: int, i: int, error: float, rates: Vector) -> None:
    for f in range(users.factors.shape[1]):
        mine, its = users.factors[u, f], items.factors[i, f]
        users.factors[u, f] = _held(mine + rates[FACTOR_RATE] * (error * its - rates[FACTOR_DECAY] * mine))
        items.factors[i, f] = _held(its + rates[FACTOR_RATE] * (error * mine - rates[FACTOR_DECAY] * its))


@compiled
def _held(factor: float) -> float:
    return min(max(factor, -LARGEST), LARGEST)


@compiled
def _learn_taste(users: Users, u: int, categories: Indices, error: float, rates: Vector) -> None:
    share = error / math.sqrt(max(categories.size, 1))
    for c in categories:
        if c >= 0:
            users.tasted[u, c] += 1.0
            users.taste[u, c] += share * _pace(users.tasted[u, c], rates[CATEGORY_SMOOTHING], rates[SLOWEST])
