"""Where the knots of a piecewise-linear function stand, and how they move without changing the function."""

from __future__ import annotations

import numpy as np

from online_models.base import Vector

QUANTILES = (
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.9975, 0.999, 0.9995,
)  # fmt: skip
"""Even in the middle, denser in the tails, above all the upper one, where the rare label is decided."""


def quantile_knots(values: Vector, quantiles: tuple[float, ...]) -> Vector:
    """Return the distinct quantiles of the values that are not missing, in increasing order."""
    known = values[~np.isnan(values)]
    if known.size == 0:
        return np.empty(0)
    return np.unique(np.quantile(known, quantiles, method="inverted_cdf"))


def fits(counts: Vector, knots: Vector, quantiles: tuple[float, ...]) -> bool:
    """Return whether knots still stand near the quantiles, judged by a histogram (see `histogram_knots`).

    They do while no gap between two holds more than twice the share it may, and neither tail four times.
    """
    gaps = counts[: 2 * knots.size + 1 : 2]
    total = float(counts.sum())
    if gaps.size == 1:
        return total == 0.0
    tails_fit = gaps[0] <= 4.0 * quantiles[0] * total and gaps[-1] <= 4.0 * (1.0 - quantiles[-1]) * total
    widest = float(np.diff(quantiles).max(initial=0.0))
    return bool(tails_fit and (gaps[1:-1] <= 2.0 * widest * total).all())


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
