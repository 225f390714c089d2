"""A cross is a function of one feature where another says so, and counts as a part of that feature."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.base import Vector
from online_models.crosses import FRAUD, Columns, Cross, among
from online_models.fraud import AdditiveLogistic, AdditiveSettings, build
from online_models.metrics import roc_auc
from processors.customers import CustomerFeatures
from processors.fraud import FraudScorer

FEATURES = ("amount", "device", "pause")
CROSSES = (
    Cross("amount", "device", above=0.0),
    Cross("device", "pause", below=60.0),
    Cross("amount", "pause", 1.0, 9.0),
)


def payments(count: int, seed: int = 1) -> tuple[Vector, Vector]:
    """Return payments of which large ones are fraud from another device, and small ones from the customer's own."""
    chance = np.random.default_rng(seed)
    amount, device = chance.normal(size=count), (chance.random(count) < 0.5).astype(float)
    pause = np.where(chance.random(count) < 0.1, np.nan, chance.exponential(30.0, count))
    fraud = chance.random(count) < np.where((amount > 0) == (device > 0), 0.6, 0.05)
    return np.column_stack((amount, device, pause)), fraud.astype(float)


def taught(crosses: tuple[Cross, ...], count: int = 4_000) -> AdditiveLogistic:
    model = AdditiveLogistic(FEATURES, AdditiveSettings(warm_up=200, crosses=crosses))
    xs, ys = payments(count)
    model.learn_many(xs, ys, np.ones(count))
    return model


def auc(model: AdditiveLogistic) -> float:
    xs, ys = payments(2_000, seed=2)
    found = roc_auc(ys.astype(bool), np.array([model.score_one(x) for x in xs]))
    assert found is not None
    return found


def test_what_no_sum_can_tell_a_cross_does() -> None:
    assert auc(taught(())) < 0.6
    assert auc(taught(CROSSES)) > 0.75


def test_a_value_is_crossed_only_strictly_between_the_bounds_of_its_flag() -> None:
    columns = Columns.of(FEATURES, CROSSES)
    filled = columns.fill(np.array([5.0, 1.0, 9.0]))
    assert filled.tolist()[:5] == [5.0, 1.0, 9.0, 5.0, 1.0]
    assert np.isnan(filled[5])
    assert np.isnan(columns.fill(np.array([5.0, np.nan, np.nan]))[3:]).all()


def test_many_rows_are_filled_as_one_by_one() -> None:
    xs, _ = payments(50)
    columns = Columns.of(FEATURES, CROSSES)
    one_by_one = np.array([columns.fill(x) for x in xs])
    assert np.array_equal(columns.fill_all(xs), one_by_one, equal_nan=True)


def test_a_crossed_model_is_the_plain_one_on_its_columns() -> None:
    crossed, columns = taught(CROSSES), Columns.of(FEATURES, CROSSES)
    plain = AdditiveLogistic((*FEATURES, "a", "b", "c"), AdditiveSettings(warm_up=200))
    xs, ys = payments(4_000)
    plain.learn_many(columns.fill_all(xs), ys, np.ones(len(xs)))
    for x in payments(100, seed=3)[0]:
        assert crossed.score_one(x) == pytest.approx(plain.score_one(columns.fill(x)), abs=1e-9)
        apart = plain.contributions(columns.fill(x))
        together = [apart[0] + apart[3] + apart[5], apart[1] + apart[4], apart[2]]
        assert crossed.contributions(x) == pytest.approx(together, abs=1e-9)


def test_without_crosses_nothing_is_filled() -> None:
    x = np.array([1.0, 2.0, 3.0])
    assert Columns.of(FEATURES, ()).fill(x) is x


def test_a_cross_of_an_unknown_feature_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no feature colour to cross: there are amount, device, pause"):
        AdditiveLogistic(FEATURES, AdditiveSettings(crosses=(Cross("colour", "amount"),)))


def test_a_model_of_other_features_has_the_crosses_that_it_can_have() -> None:
    assert among(("amount", "seconds_since_last"), FRAUD) == (Cross("amount", "seconds_since_last", below=1_200.0),)
    model = build("additive", ("amount", "risk"))
    assert isinstance(model, AdditiveLogistic)
    assert model.settings.crosses == ()


def test_the_scorer_s_own_features_have_all_of_them() -> None:
    names = FraudScorer(CustomerFeatures().names, verify=bytes).names
    assert among(names, FRAUD) == FRAUD
