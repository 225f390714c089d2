"""The arrays of an additive logistic regression, and how its knots move without changing what it says."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from online_models.base import Vector

Matrix = np.ndarray[Any, np.dtype[np.float64]]
Indices = np.ndarray[Any, np.dtype[np.int64]]


class Additive(NamedTuple):
    """The state for F columns, features and then crosses, of at most K knots each; kernels change the arrays in place.

    Row `f` of `weights`, `z` and `n` holds one cell per basis function: column k is the hat on knot k, the last
    column says "missing".
    """

    knots: Matrix
    """(F, K), increasing, padded with infinity."""
    weights: Matrix
    """(F, K + 1), in log-odds."""
    z: Matrix
    """(F, K + 1), FTRL's linear term."""
    n: Matrix
    """(F, K + 1), FTRL's sum of squared gradients."""
    counts: Matrix
    """(F, 2 K + 1), values since the knots were placed: between knots and on a knot, in turn."""
    extent: Matrix
    """(F, 2), least and greatest value since the knots were placed."""
    centre: Vector
    """(F,), what each feature typically contributes: a running mean."""
    scalars: Vector
    """(2,), the bias and how many examples were learned."""
    rates: Vector
    """(5,), FTRL's alpha, beta, l1 and l2, and the learning rate of the bias."""
    owners: Indices
    """(C,), the feature that each of the C crosses, the last columns, counts as a part of."""


def empty(features: int, knots: int, rates: Vector, owners: Indices) -> Additive:
    """Return a state that knows nothing, not even where its knots are."""
    columns = features + owners.size
    return Additive(
        knots=np.full((columns, knots), np.inf),
        weights=np.zeros((columns, knots + 1)),
        z=np.zeros((columns, knots + 1)),
        n=np.zeros((columns, knots + 1)),
        counts=np.zeros((columns, 2 * knots + 1)),
        extent=np.tile([np.inf, -np.inf], (columns, 1)),
        centre=np.zeros(columns),
        scalars=np.zeros(2),
        rates=rates,
        owners=owners,
    )


def grown(model: Additive, features: int, more: int) -> Additive:
    """Return the state with so many features more behind the first `features`: it says what it said.

    To a new feature nothing is known, not even where its knots are: it counts from when they are next placed, and a
    missing value of it at once.
    """
    unknown = empty(more, model.knots.shape[1], model.rates, model.owners[:0])
    told = {
        name: np.concatenate((array[:features], getattr(unknown, name), array[features:]))
        for name, array in model._asdict().items()
        if name not in ("scalars", "rates", "owners")
    }
    return model._replace(**told)


def placed(model: Additive, feature: int) -> Vector:
    """Return the knots of a feature, without the padding."""
    row = model.knots[feature]
    knots: Vector = row[np.isfinite(row)]
    return knots


def place(model: Additive, feature: int, knots: Vector) -> None:
    """Put a feature's knots elsewhere.

    The piecewise-linear function keeps its value at every new knot, FTRL's memory moves with it, and the
    gradients that wait for their cell's next example are carried along.
    """
    old = placed(model, feature)
    if old.size:
        _carry(model, feature, old, knots)
    model.knots[feature] = np.inf
    model.knots[feature, : knots.size] = knots


def forget_histograms(model: Additive) -> None:
    """Begin to count again where values fall; histograms hold only for the knots they were counted on."""
    model.counts[:] = 0.0
    model.extent[:] = np.inf, -np.inf


def _carry(model: Additive, feature: int, old: Vector, new: Vector) -> None:
    weights, z, n = (plane[feature, :-1] for plane in (model.weights, model.z, model.n))
    pending = z - _settled(weights, n, model.rates)
    for cells in (weights, n, pending):
        cells[: new.size] = np.interp(new, old, cells[: old.size])
        cells[new.size :] = 0.0
    z[:] = _settled(weights, n, model.rates) + pending


def _settled(weights: Vector, n: Vector, rates: Vector) -> Vector:
    """Return the z for which FTRL's closed form gives these weights."""
    alpha, beta, l1, l2 = rates[:4]
    z: Vector = -weights * ((beta + np.sqrt(n)) / alpha + l2) - np.sign(weights) * l1
    return z
