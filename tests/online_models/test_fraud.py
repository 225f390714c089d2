from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import checks

from online_models.base import Explains, Model, Vector
from online_models.fraud import AdditiveLogistic, AdditiveSettings, build
from online_models.hat_basis import HatBasis, reference
from online_models.river_models import RiverForest, RiverLogistic

FEATURES = ("amount", "risk", "night", "count")


def examples(seed: int, count: int) -> list[tuple[Vector, bool]]:
    """A skewed number, a share often 0, a flag and a count that is missing at times; few positives."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3.0, 1.0, count)
    risk = np.where(rng.random(count) < 0.8, 0.0, rng.random(count))
    night = (rng.random(count) < 0.2).astype(float)
    visits = np.where(rng.random(count) < 0.1, np.nan, rng.poisson(3.0, count).astype(float))
    log_odds = -4.0 + 0.02 * amount + 4.0 * risk + night
    labels = rng.random(count) < 1.0 / (1.0 + np.exp(-log_odds))
    return list(zip(np.column_stack((amount, risk, night, visits)), labels.tolist(), strict=True))


def trained(count: int, **changes: float) -> AdditiveLogistic:
    model = AdditiveLogistic(FEATURES, AdditiveSettings(**({"warm_up": 100} | changes)))
    for x, y in examples(1, count):
        model.learn_one(x, y)
    return model


def named(x: Vector) -> dict[str, float]:
    return dict(zip(FEATURES, x.tolist(), strict=True))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    alpha=st.floats(0.01, 1.0),
    l1=st.sampled_from((0.0, 0.01, 0.5)),
    l2=st.sampled_from((0.0, 0.1, 1.0)),
    weight=st.sampled_from((0.25, 1.0, 3.0)),
)
def test_the_fast_form_equals_rivers_parts(seed, alpha, l1, l2, weight):
    chosen = AdditiveSettings(alpha=alpha, l1=l1, l2=l2, warm_up=50, base_rate=0.5)
    fast = AdditiveLogistic(FEATURES, chosen)
    stream = examples(seed, 95)
    for x, y in stream[:50]:
        fast.learn_one(x, y, weight)
    knots = {name: tuple(row.tolist()) for name, row in zip(FEATURES, fast.knots, strict=True)}
    positives, total = weight * sum(y for _, y in stream[:50]), weight * 50
    rate = (positives + 0.5) / (total + 1.0)
    slow = reference(
        HatBasis(knots=knots),
        {"alpha": alpha, "beta": chosen.beta, "l1": l1, "l2": l2},
        {"intercept_init": float(np.log(rate / (1 - rate))), "intercept_lr": chosen.bias_rate},
    )
    for x, y in stream[:50]:
        slow.learn_one(named(x), y, w=weight)
    for x, y in stream[50:]:
        assert fast.score_one(x) == pytest.approx(slow.predict_proba_one(named(x))[True], abs=1e-9)
        fast.learn_one(x, y, weight)
        slow.learn_one(named(x), y, w=weight)


@pytest.mark.parametrize("check", list(checks.yield_checks(HatBasis())), ids=lambda check: check.__name__)
def test_the_hat_basis_is_a_river_transformer(check):
    check(HatBasis(warm_up=20))


def river_reference():
    return reference(HatBasis(warm_up=20), {"alpha": 0.1}, {"intercept_lr": 0.01})


@pytest.mark.parametrize("check", list(checks.yield_checks(river_reference())), ids=lambda check: check.__name__)
def test_the_reference_is_a_river_classifier(check):
    model = river_reference()
    if check.__name__ not in model._unit_test_skips():
        check(model)
