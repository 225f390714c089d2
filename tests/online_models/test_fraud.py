from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import checks

from online_models.base import Vector
from online_models.fraud import AdditiveLogistic, AdditiveSettings
from online_models.hat_basis import HatBasis, reference
from online_models.metrics import roc_auc

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


def test_the_fast_form_equals_rivers_parts_after_the_knots_have_moved():
    chosen = AdditiveSettings(warm_up=60, alpha=0.3, l1=0.1, l2=0.5)
    fast, stream = AdditiveLogistic(FEATURES, chosen), examples(8, 200)
    for x, y in stream[:120]:
        fast.learn_one(x, y)
    knots = {name: tuple(row.tolist()) for name, row in zip(FEATURES, fast.knots, strict=True)}
    slow = reference(
        HatBasis(knots=knots),
        {"alpha": chosen.alpha, "beta": chosen.beta, "l1": chosen.l1, "l2": chosen.l2},
        {"intercept_init": float(fast._state.scalars[0]), "intercept_lr": chosen.bias_rate},
    )
    regression = slow["LogisticRegression"]
    for feature, name in enumerate(FEATURES):
        for k in (*range(len(knots[name])), "missing"):
            column = -1 if k == "missing" else k
            regression._weights[name, k] = fast._state.weights[feature, column]
            regression.optimizer.z[name, k] = fast._state.z[feature, column]
            regression.optimizer.n[name, k] = fast._state.n[feature, column]
    for x, y in stream[120:]:
        assert fast.score_one(x) == pytest.approx(slow.predict_proba_one(named(x))[True], abs=1e-9)
        fast.learn_one(x, y)
        slow.learn_one(named(x), y)


def test_until_it_is_ready_it_says_the_rate_of_positives():
    model = AdditiveLogistic(FEATURES, AdditiveSettings(warm_up=100, base_rate=0.02))
    x = examples(1, 1)[0][0]
    assert model.score_one(x) == pytest.approx(0.02)
    for count in range(99):
        model.learn_one(x, count % 10 == 0)
    assert not model.ready
    assert model.score_one(x) == pytest.approx((10 + 0.02) / (99 + 1.0))
    model.learn_one(x, False)
    assert model.ready
    assert model.learned == 100


def test_examples_kept_for_the_knots_are_learned_too():
    model = trained(100)
    likely, unlikely = np.array([300.0, 0.9, 1.0, 3.0]), np.array([5.0, 0.0, 0.0, 3.0])
    assert model.score_one(likely) > model.score_one(unlikely)


def test_knots_are_the_distinct_quantiles():
    model = trained(100)
    amount, _, night, visits = model.knots
    assert night.tolist() == [0.0, 1.0]
    assert set(visits.tolist()) <= set(range(20))
    assert (np.diff(amount) > 0).all()
    assert [row.size for row in model.weights] == [row.size + 1 for row in model.knots]


def test_knots_follow_a_feature_that_grows():
    model = trained(100)
    for x, y in examples(2, 700):
        model.learn_one(x * (50.0, 1.0, 1.0, 1.0), y)
    assert model.knots[0][-1] > 20 * trained(100).knots[0][-1]


def test_a_feature_never_seen_in_the_warm_up_gets_knots_later():
    model = AdditiveLogistic(("late",), AdditiveSettings(warm_up=50, alpha=0.5))
    for _ in range(50):
        model.learn_one(np.array([np.nan]), False)
    assert model.knots[0].size == 0
    assert model.contributions(np.array([5.0])).tolist() == [-model._state.centre[0]]
    for count in range(400):
        model.learn_one(np.array([float(count % 7)]), count % 7 == 6)
    assert model.knots[0].size > 2
    assert model.score_one(np.array([6.0])) > model.score_one(np.array([0.0]))


def test_beyond_the_outer_knots_nothing_changes():
    model = trained(400)
    last = np.array([model.knots[0][-1], 0.0, 0.0, 3.0])
    assert model.score_one(last) == model.score_one(last * (100.0, 1.0, 1.0, 1.0))


def test_a_missing_value_has_a_weight_of_its_own():
    model = AdditiveLogistic(("device age",), AdditiveSettings(warm_up=50))
    for count in range(600):
        missing = count % 3 == 0
        model.learn_one(np.array([np.nan if missing else float(count % 10)]), missing)
    assert model.score_one(np.array([np.nan])) > 0.8
    assert model.score_one(np.array([4.0])) < 0.2


def test_contributions_are_against_the_typical_example():
    model = trained(20_000)
    mean = np.mean([model.contributions(x) for x, _ in examples(1, 20_000)[-1_000:]], axis=0)
    assert mean == pytest.approx(np.zeros(4), abs=0.15)


@pytest.mark.parametrize("count", [1_999, 2_000, 6_000])
def test_the_snapshot_of_forty_features_is_small_once_ready(count):
    model = AdditiveLogistic(tuple(f"feature {i}" for i in range(40)))
    rng = np.random.default_rng(3)
    for x in rng.lognormal(size=(count, 40)):
        model.learn_one(x, rng.random() < 0.05)
    limit = 50_000 if model.ready else 50_000 + 2_000 * 42 * 8
    assert len(model.snapshot()) <= limit


def test_it_learns_a_rare_label_from_skewed_numbers():
    model = trained(20_000)
    fresh = examples(9, 5_000)
    scores = np.array([model.score_one(x) for x, _ in fresh])
    labels = np.array([y for _, y in fresh])
    assert roc_auc(labels, scores) > 0.75
    assert scores.mean() == pytest.approx(labels.mean(), rel=0.15)
