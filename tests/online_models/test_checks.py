from __future__ import annotations

import numpy as np
import pytest

from online_models.base import Explains, Explanation, Model
from online_models.checks import (
    check_a_wrong_length_is_refused,
    check_contributions_add_up,
    check_scoring_changes_nothing,
    model_checks,
)
from online_models.crosses import Cross
from online_models.fraud import AdditiveLogistic, AdditiveSettings, build
from online_models.river_models import RiverForest, RiverLogistic

FEATURES = ("amount", "count", "surprise", "age")


def additive() -> Model:
    return AdditiveLogistic(FEATURES, AdditiveSettings(warm_up=80, refit_every=100))


def sparse_additive() -> Model:
    return AdditiveLogistic(FEATURES, AdditiveSettings(warm_up=50, l1=0.5, l2=1.0, quantiles=(0.1, 0.5, 0.9)))


def crossed() -> Model:
    crosses = (Cross("amount", "count", above=2.0), Cross("age", "surprise", below=0.0))
    return AdditiveLogistic(FEATURES, AdditiveSettings(warm_up=80, refit_every=100, crosses=crosses))


def logistic() -> Model:
    return RiverLogistic(FEATURES)


def forest() -> Model:
    return RiverForest(FEATURES)


@pytest.mark.parametrize("make", [additive, sparse_additive, crossed, logistic, forest], ids=lambda make: make.__name__)
@pytest.mark.parametrize("check", list(model_checks()), ids=lambda check: check.__name__)
def test_every_model_keeps_the_contract(check, make):
    check(make)


def test_every_kind_can_be_built():
    kinds = {kind: type(build(kind, FEATURES)) for kind in ("additive", "logistic", "forest")}
    assert kinds == {"additive": AdditiveLogistic, "logistic": RiverLogistic, "forest": RiverForest}


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(ValueError, match="'oracle': use additive, logistic or forest"):
        build("oracle", FEATURES)


def test_only_the_additive_model_explains_itself():
    assert isinstance(additive(), Explains)
    assert not isinstance(logistic(), Explains)


def test_a_snapshot_of_other_features_is_refused():
    with pytest.raises(ValueError, match="features"):
        AdditiveLogistic(("speed",)).restore(additive().snapshot())


def test_a_snapshot_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="logistic model, this is a forest"):
        forest().restore(logistic().snapshot())
    with pytest.raises(ValueError, match="snapshot"):
        additive().restore(logistic().snapshot())


class Forgetful:
    """A model that breaks the contract: it counts its scores, takes any vector, and its parts do not add up."""

    features = FEATURES
    intercept = 0.0

    def __init__(self):
        self.asked = 0

    def score_one(self, x):
        self.asked += 1
        return 1.0 / (1.0 + self.asked)

    def learn_one(self, x, y, weight=1.0):
        pass

    def learn_many(self, xs, ys, weights):
        pass

    def contributions(self, x):
        return np.zeros(len(FEATURES))

    def explain_one(self, x, k):
        return Explanation(self.score_one(x), 0.0, self.intercept, self.contributions(x), [])

    def snapshot(self):
        return b""

    def restore(self, blob):
        pass


@pytest.mark.parametrize(
    "check", [check_scoring_changes_nothing, check_a_wrong_length_is_refused, check_contributions_add_up]
)
def test_the_checks_catch_a_model_that_breaks_them(check):
    with pytest.raises(AssertionError):
        check(Forgetful)
