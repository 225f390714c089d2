"""The compiled arithmetic says what the same lines say in plain Python."""

from __future__ import annotations

import importlib.util

import numba
import numpy as np
import pytest

from online_models import additive_kernels, anomaly_kernels
from online_models.additive_state import Additive
from online_models.anomaly import AnomalyScore
from online_models.crosses import Cross
from online_models.fraud import AdditiveLogistic, AdditiveSettings


def in_python(module, monkeypatch):
    """The module once more, not compiled; what is compiled must have been called by then."""
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    spec = importlib.util.spec_from_file_location(f"plain_{module.__name__.split('.')[-1]}", module.__file__)
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    return plain


def vectors(count: int):
    rng = np.random.default_rng(11)
    x = np.column_stack((rng.lognormal(2.0, 1.0, count), rng.poisson(2.0, count), rng.normal(size=count)))
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


def copied(state):
    return type(state)(*(array.copy() for array in state))


def same(left, right):
    return all(a == pytest.approx(b, rel=1e-12, abs=1e-12, nan_ok=True) for a, b in zip(left, right, strict=True))


def looked_up(kernels, state):
    return state.scales, kernels.bin_surprises(state), state.surprises, kernels.shares_below(state.surprises)


def test_the_additive_model_is_the_same_in_python(monkeypatch):
    crosses = (Cross("a", "b", above=0.0), Cross("c", "a", below=1.0), Cross("a", "c"))
    model = AdditiveLogistic(("a", "b", "c"), AdditiveSettings(warm_up=100, l1=0.1, crosses=crosses))
    stream = vectors(400)
    for x in stream[:150]:
        model.learn_one(x, bool(x[1] > 3))
        model.explain_one(x, 2)
    plain = in_python(additive_kernels, monkeypatch)
    fast: Additive = copied(model._state)
    slow = copied(fast)
    for row in stream[150:]:
        x = model._columns.fill(row)
        assert same([x], [plain.crossed(row, *model._columns)])
        assert additive_kernels.score(x, fast) == pytest.approx(plain.score(x, slow), abs=1e-12)
        assert same([additive_kernels.contributions(x, fast)], [plain.contributions(x, slow)])
        parts = [(state.knots, state.weights, state.centre, state.owners, state.scalars) for state in (fast, slow)]
        told, plainly = additive_kernels.explain(x, *parts[0], 2), plain.explain(x, *parts[1], 2)
        assert same([*told[:3], told[3], told[4]], [*plainly[:3], plainly[3], plainly[4]])
        assert additive_kernels.learn(x, float(x[1] > 3), 1.0, fast)
        assert plain.learn(x, float(x[1] > 3), 1.0, slow)
    assert same(fast, slow)
    assert not plain.learn(model._columns.fill(np.array([1.0, np.inf, 1.0])), 1.0, 1.0, slow)
    assert same(fast, slow)
    assert plain.probability(800.0) == 1.0
    assert plain.probability(-800.0) == 0.0


def test_a_feature_without_knots_adds_nothing_in_python(monkeypatch):
    model = AdditiveLogistic(("a", "b", "c"))
    plain = in_python(additive_kernels, monkeypatch)
    assert plain.learn(np.ones(3), 1.0, 1.0, model._state)
    assert plain.contributions(np.ones(3), model._state).tolist() == [0.0, 0.0, 0.0]
    assert model._state.counts[:, 0].tolist() == [1.0, 1.0, 1.0]


def test_the_anomaly_score_is_the_same_in_python(monkeypatch):
    anomaly = AnomalyScore(("a", "b", "c"), memory=100)
    for x in vectors(3):
        anomaly.learn_one(x)
        anomaly.surprises(x)
        anomaly.score_one(x)
    fast = copied(anomaly._state)
    slow = copied(fast)
    plain = in_python(anomaly_kernels, monkeypatch)
    for x in vectors(300):
        told = anomaly_kernels.score(x, *looked_up(anomaly_kernels, fast))
        assert told == pytest.approx(plain.score(x, *looked_up(plain, slow)), abs=1e-12)
        assert same([anomaly_kernels.surprises(x, fast)], [plain.surprises(x, slow)])
        assert anomaly_kernels.learn(x, fast)
        assert plain.learn(x, slow)
    assert same(fast, slow)
    assert not plain.learn(np.array([1.0, np.inf, 1.0]), slow)
    assert np.isnan(plain.score(np.array([1.0, np.inf, 1.0]), *looked_up(plain, slow)))
