"""What every learner promises: score without change, learn one example, go on exactly after a restart."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
"""One number per feature, in the order of the model's `features`; NaN means the value is missing."""


@runtime_checkable
class Model(Protocol):
    """A binary classifier that learns one example at a time.

    `features` names the numbers of every vector, in order. A vector of another length, or with an infinite
    value, is a `ValueError` that names the feature. `online_models.checks` holds the whole contract.
    """

    features: tuple[str, ...]

    def score_one(self, x: Vector) -> float:
        """Return the probability of the positive label, in [0, 1]. Changes nothing."""
        ...

    def learn_one(self, x: Vector, y: bool, weight: float = 1.0) -> None:
        """Learn that `x` had the label `y`, counted `weight` times; weight 0 changes nothing."""
        ...

    def learn_many(self, xs: Vector, ys: Vector, weights: Vector) -> None:
        """Learn the rows of the matrix `xs` with labels `ys` (0 or 1): the same, to the last bit, as one by one."""
        ...

    def snapshot(self) -> bytes:
        """Return all of the state, from which `restore` goes on bit for bit."""
        ...

    def restore(self, blob: bytes) -> None:
        """Take over the state of a snapshot; `ValueError` when it is of other features or of another model."""
        ...


class Explanation(NamedTuple):
    """A score with what makes it: `intercept` and `contributions` in log-odds, and the indices of the largest.

    `logit` is the log-odds of the score: the sum of intercept and contributions, in order.
    """

    score: float
    logit: float
    intercept: float
    contributions: Vector
    largest: list[int]


@runtime_checkable
class Explains(Protocol):
    """A model whose logit is a sum with one term per feature."""

    @property
    def intercept(self) -> float:
        """Return the log-odds of a typical example."""
        ...

    def contributions(self, x: Vector) -> Vector:
        """Return what each feature adds to the log-odds.

        Added to `intercept` one after the other, in order, they are the logit of the score to the last bit.
        """
        ...

    def explain_one(self, x: Vector, k: int) -> Explanation:
        """Return the score, intercept and contributions at once, with the at most `k` largest positive ones."""
        ...


def vector(x: npt.ArrayLike, features: tuple[str, ...]) -> Vector:
    """Return `x` as a contiguous float64 vector; `ValueError` when it has another length than `features`."""
    if type(x) is np.ndarray and x.dtype == np.float64 and x.shape == (len(features),) and x.flags.c_contiguous:
        return x
    values = np.ascontiguousarray(x, dtype=np.float64)
    if values.shape != (len(features),):
        raise ValueError(f"expected {len(features)} numbers, one per feature, got shape {np.shape(x)}")
    return values


def finite(x: npt.ArrayLike, features: tuple[str, ...]) -> Vector:
    """Return `x` as a vector of numbers and NaN; `ValueError` names an infinite feature."""
    values = vector(x, features)
    if np.isinf(values).any():
        raise infinite(values, features)
    return values


def infinite(x: Vector, features: tuple[str, ...]) -> ValueError:
    """Return the error that names the first infinite value of `x`."""
    first = int(np.flatnonzero(np.isinf(x))[0])
    return ValueError(f"feature {features[first]!r} is {x[first]}; a missing value is NaN")


def checked_weight(weight: float) -> float:
    """Return `weight`; `ValueError` unless it is finite and not negative."""
    if not 0.0 <= weight < np.inf:
        raise ValueError(f"weight must be finite and at least 0, got {weight}")
    return weight
