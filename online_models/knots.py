"""Where the knots of a piecewise-linear function stand, and how they move without changing the function."""

from __future__ import annotations

import numpy as np

from online_models.base import Vector

QUANTILES = (
    0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999,
)  # fmt: skip
"""Even in the middle, denser in both tails, where the rare label is decided."""


def quantile_knots(values: Vector, quantiles: tuple[float, ...]) -> Vector:
    """Return the distinct quantiles of the values that are not missing, in increasing order."""
    known = values[~np.isnan(values)]
    if known.size == 0:
        return np.empty(0)
    return np.unique(np.quantile(known, quantiles, method="inverted_cdf"))


def histogram_knots(knots: Vector, counts: Vector, extent: Vector, quantiles: tuple[float, ...]) -> Vector:
    """Return the distinct quantiles of a histogram kept on other knots, in increasing order.

    `counts` alternates values between knots and values exactly on a knot: below the first, on the first,
    between first and second, … on the last, above the last. Values between two knots count as spread evenly;
    `extent` is the (least, greatest) value seen. The old knots come back when nothing was counted.
    """
    mass = np.concatenate(([0.0], np.cumsum(counts[: 2 * knots.size + 1])))
    if mass[-1] == 0.0:
        return knots
    edges = np.concatenate((extent[:1], np.repeat(knots, 2), extent[1:]))
    return np.unique(np.interp(np.multiply(quantiles, mass[-1]), mass, edges))
