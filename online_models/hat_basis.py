"""The additive model made of River's parts: slow and plain, what the fast form must equal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from river import base, compose, linear_model, optim

from online_models.knots import QUANTILES, quantile_knots

Cell = tuple[str, int | str]


class HatBasis(base.Transformer):  # type: ignore[misc]  # River has no stubs
    """Spread every number over hat functions: 1 on their own knot, falling to 0 at the two next to it.

    A number becomes the cells `(feature, index of the knot)` of the knots around it, which add up to 1; beyond
    the outer knots it counts as the outer knot. A missing number, NaN or absent, becomes the one cell
    `(feature, "missing")`. Without `knots`, the first `warm_up` numbers of a feature are kept to find its
    quantiles; until then it has no cells.

    Examples
    --------
    >>> basis = HatBasis(knots={"amount": (0.0, 10.0, 100.0)})
    >>> basis.transform_one({"amount": 55.0})
    {('amount', 1): 0.5, ('amount', 2): 0.5}
    >>> basis.transform_one({"amount": 5_000.0})
    {('amount', 2): 1.0}
    >>> basis.transform_one({})
    {('amount', 'missing'): 1.0}
    """

    def __init__(
        self,
        quantiles: tuple[float, ...] = QUANTILES,
        warm_up: int = 500,
        knots: Mapping[str, tuple[float, ...]] | None = None,
    ) -> None:
        self.quantiles = quantiles
        self.warm_up = warm_up
        self.knots = knots
        self._knots: dict[str, tuple[float, ...]] = dict(knots or {})
        self._waiting: dict[str, list[float]] = {}

    def learn_one(self, x: dict[str, float]) -> None:
        """Keep the numbers of features that have no knots yet, and place those that are complete."""
        for name, value in x.items():
            if name not in self._knots and not math.isnan(value):
                kept = self._waiting.setdefault(name, [])
                kept.append(float(value))
                if len(kept) == self.warm_up:
                    self._knots[name] = tuple(quantile_knots(np.array(kept), self.quantiles).tolist())
                    del self._waiting[name]

    def transform_one(self, x: dict[str, float]) -> dict[Cell, float]:
        """Return the cells that are not 0."""
        cells: dict[Cell, float] = {}
        for name, knots in self._knots.items():
            value = x.get(name, math.nan)
            if math.isnan(value):
                cells[name, "missing"] = 1.0
            else:
                cells |= {(name, k): share for k, share in _hats(value, knots).items()}
        return cells


def _hats(value: float, knots: tuple[float, ...]) -> dict[int, float]:
    """Return the hats that are not 0 at `value`, clamped to the knots."""
    if not knots:
        return {}
    clamped = min(max(value, knots[0]), knots[-1])
    if clamped in knots:
        return {knots.index(clamped): 1.0}
    above = next(k for k, knot in enumerate(knots) if knot > clamped)
    share = (clamped - knots[above - 1]) / (knots[above] - knots[above - 1])
    return {above - 1: 1.0 - share, above: share}


def reference(basis: HatBasis, ftrl: Mapping[str, float], bias: Mapping[str, float]) -> Any:
    """Return the pipeline: hat basis, then logistic regression by FTRL-proximal.

    `ftrl` holds `alpha`, `beta`, `l1`, `l2`; `bias` holds `intercept_init` and `intercept_lr`.
    """
    regression = linear_model.LogisticRegression(optimizer=optim.FTRLProximal(**ftrl), **bias)
    return compose.Pipeline(basis, regression)
