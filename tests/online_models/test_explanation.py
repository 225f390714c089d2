from __future__ import annotations

import math

import numpy as np
import pytest

from online_models.checks import _examples as examples
from online_models.explanation import ablation, top
from online_models.fraud import AdditiveLogistic, AdditiveSettings
from online_models.river_models import RiverForest

FEATURES = ("amount", "count", "surprise")


def taught(model):
    for x, y in examples(len(FEATURES), 300, seed=5):
        model.learn_one(x, y)
    return model


def logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def test_the_top_are_the_largest_positive_ones():
    assert top(np.array([0.1, -3.0, 2.0, 0.0, 0.7]), 2) == (2, 4)


def test_ties_go_by_index():
    assert top(np.array([1.0, 2.0, 1.0, 2.0, 1.0]), 4) == (1, 3, 0, 2)


def test_negative_and_zero_contributions_are_no_reasons():
    assert top(np.array([-1.0, 0.0, 0.5]), 3) == (2,)
    assert top(np.array([-1.0, np.nan]), 3) == ()


def test_the_parts_of_a_forests_score_add_up():
    forest = taught(RiverForest(FEATURES))
    x, baseline = np.array([40.0, 3.0, -1.0]), np.array([2.0, 1.0, 0.0])
    parts = ablation(forest, x, baseline)
    score = min(max(forest.score_one(x), 1e-6), 1.0 - 1e-6)
    assert parts.base + parts.terms.sum() + parts.rest == pytest.approx(logit(score), abs=1e-9)


def test_a_sum_leaves_no_rest():
    additive = taught(AdditiveLogistic(FEATURES, AdditiveSettings(warm_up=100)))
    x, baseline = np.array([20.0, 2.0, 1.0]), np.array([2.0, 1.0, 0.0])
    parts = ablation(additive, x, baseline)
    assert parts.rest == pytest.approx(0.0, abs=1e-9)
    assert parts.terms == pytest.approx(additive.contributions(x) - additive.contributions(baseline), abs=1e-9)


def test_the_baseline_itself_has_nothing_to_explain():
    x = np.array([2.0, 1.0, 0.0])
    parts = ablation(taught(RiverForest(FEATURES)), x, x)
    assert parts.terms.tolist() == [0.0, 0.0, 0.0]
    assert parts.rest == 0.0
