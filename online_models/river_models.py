"""River's own classifiers behind the model protocol, to compare and to run in shadow."""

from __future__ import annotations

import pickle
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
from river import forest, linear_model, preprocessing

from online_models.base import Vector, checked_weight, finite
from online_models.snapshots import decoded

SEED = 7
BASE_RATE = 0.01
"""Score of a model that has not seen an example yet."""

LARGEST = 1e100
"""Values are kept this small, so that their squares are finite."""


class _Snapshot(msgspec.Struct, frozen=True):
    kind: Literal["logistic", "forest"]
    features: tuple[str, ...]
    estimator: bytes


class RiverModel:
    """A River classifier of booleans; a missing value is 0.

    Its snapshot holds a pickle: restore only what `snapshots.verify` returned.
    """

    kind: ClassVar[Literal["logistic", "forest"]]

    def __init__(self, features: tuple[str, ...], estimator: Any) -> None:
        self.features = tuple(features)
        self._estimator = estimator

    def score_one(self, x: Vector) -> float:
        """Return the probability of the positive label, in [0, 1]. Changes nothing."""
        chances = self._estimator.predict_proba_one(self._named(x))
        if not chances:
            return BASE_RATE
        return min(max(float(chances.get(True, 0.0)), 0.0), 1.0)

    def learn_one(self, x: Vector, y: bool, weight: float = 1.0) -> None:
        """Learn that `x` had the label `y`, counted `weight` times; weight 0 changes nothing."""
        named = self._named(x)
        if checked_weight(weight) > 0.0:
            self._estimator.learn_one(named, bool(y), w=weight)

    def learn_many(self, xs: Vector, ys: Vector, weights: Vector) -> None:
        """Learn the rows of `xs` in order."""
        for x, y, weight in zip(xs, ys.tolist(), weights.tolist(), strict=True):
            self.learn_one(x, bool(y), weight)

    def _named(self, x: Vector) -> dict[str, float]:
        values = np.clip(np.nan_to_num(finite(x, self.features), nan=0.0), -LARGEST, LARGEST)
        return dict(zip(self.features, values.tolist(), strict=True))

    def snapshot(self) -> bytes:
        """Return all of the state: MessagePack around a pickle."""
        said = _Snapshot(self.kind, self.features, pickle.dumps(self._estimator))
        return msgspec.msgpack.encode(said)

    def restore(self, blob: bytes) -> None:
        """Take over a verified snapshot; `ValueError` when it is of another model or of other features."""
        told = decoded(blob, _Snapshot, self.features)
        if told.kind != self.kind:
            raise ValueError(f"snapshot is of a {told.kind} model, this is a {self.kind} model")
        self._estimator = pickle.loads(told.estimator)


class RiverLogistic(RiverModel):
    """Logistic regression by gradient descent on standardised features."""

    kind = "logistic"

    def __init__(self, features: tuple[str, ...]) -> None:
        super().__init__(features, preprocessing.StandardScaler() | linear_model.LogisticRegression())


class RiverForest(RiverModel):
    """Adaptive random forest of ten trees, at most eight deep so that its memory stays bounded."""

    kind = "forest"

    def __init__(self, features: tuple[str, ...]) -> None:
        super().__init__(features, forest.ARFClassifier(n_models=10, max_depth=8, seed=SEED))
