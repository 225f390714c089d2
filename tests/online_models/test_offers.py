from __future__ import annotations

import msgspec
import numpy as np
import pytest

from online_models.base import Model, Vector
from online_models.checks import model_checks
from online_models.crosses import Cross
from online_models.offers import RANKING, AdditiveRanker

FEATURES = ("basket", "minimum", "seen")
GROWN = (*FEATURES, "session", "share")


def ranker() -> Model:
    return AdditiveRanker(FEATURES)


def examples(count: int) -> tuple[Vector, Vector]:
    rng = np.random.default_rng(5)
    xs = rng.normal(0.0, 1.0, (count, 3))
    xs[rng.random((count, 3)) < 0.1] = np.nan
    return xs, (np.nan_to_num(xs[:, 0]) > rng.normal(0.0, 0.5, count)).astype(np.float64)


def taught() -> AdditiveRanker:
    model = AdditiveRanker(FEATURES)
    xs, ys = examples(1_000)
    model.learn_many(xs, ys, np.ones(1_000))
    return model


@pytest.mark.parametrize("check", list(model_checks()), ids=lambda check: check.__name__)
def test_the_ranker_keeps_the_contract(check):
    check(ranker)


def test_many_are_scored_as_one_by_one_to_the_last_bit():
    model, (xs, _) = taught(), examples(50)
    assert model.score_many(xs).tolist() == [model.score_one(x) for x in xs]
    assert model.score_many(np.asfortranarray(xs)).tolist() == model.score_many(xs).tolist()


@pytest.mark.parametrize("row", [[0.5, np.nan, 1.0], [np.nan, np.nan, 1.0], [0.5, 0.25, np.nan]])
def test_candidates_that_have_values_in_common_are_scored_as_one_by_one(row):
    model = taught()
    xs = np.array([row, row, [0.5, 0.25, 1.0], row, [np.nan, 0.25, 2.0], [np.nan, np.nan, 2.0], row])
    assert model.score_many(xs).tolist() == [model.score_one(x) for x in xs]


def test_before_it_is_ready_every_candidate_scores_alike():
    scores = AdditiveRanker(FEATURES).score_many(examples(5)[0])
    assert scores == pytest.approx([0.4] * 5)


def test_no_candidates_have_no_scores():
    assert taught().score_many(np.empty((0, 3))).shape == (0,)


def test_scoring_many_changes_nothing():
    model = taught()
    before = model.snapshot()
    model.score_many(examples(20)[0])
    assert model.snapshot() == before


@pytest.mark.parametrize("shape", [(2, 2), (2, 4), (3,)])
def test_rows_of_another_length_are_refused(shape):
    with pytest.raises(ValueError, match="expected rows of 3 numbers"):
        taught().score_many(np.zeros(shape))


def test_an_infinite_value_is_named():
    xs = np.zeros((3, 3))
    xs[1, 2] = np.inf
    with pytest.raises(ValueError, match="'seen' is inf"):
        taught().score_many(xs)


def test_what_is_known_of_customers_may_begin_after_the_model_has_learned_without_it():
    model = AdditiveRanker(FEATURES)
    xs, ys = examples(6_000)
    xs[:3_000, 0] = np.nan
    model.learn_many(xs, ys, np.ones(len(xs)))
    low, high = model.score_many(np.array([[-1.5, 0.0, 0.0], [1.5, 0.0, 0.0]]))
    assert high > low + 0.3


def restored(model: AdditiveRanker, features: tuple[str, ...] = GROWN) -> AdditiveRanker:
    """Return a ranker of these features that goes on from one of the first of them."""
    grown = AdditiveRanker(features)
    grown.restore(model.snapshot())
    return grown


def of_grown(count: int) -> tuple[Vector, Vector]:
    """Return examples in which the fourth feature alone decides."""
    rng = np.random.default_rng(6)
    xs = rng.normal(0.0, 1.0, (count, len(GROWN)))
    return xs, (xs[:, 3] > 0.0).astype(np.float64)


def test_a_ranker_that_gets_more_features_says_what_it_said():
    model, (xs, _) = taught(), of_grown(50)
    xs[::2, 3:] = np.nan
    assert restored(model).score_many(xs).tolist() == model.score_many(xs[:, :3]).tolist()
    assert restored(model).learned == model.learned


def test_it_learns_from_the_new_features_as_well():
    model, (xs, ys) = restored(taught()), of_grown(4_000)
    model.learn_many(xs, ys, np.ones(len(xs)))
    low, high = model.score_many(np.array([[0.0, 0.0, 0.0, side, 0.0] for side in (-1.0, 1.0)]))
    assert high > low + 0.4


def test_examples_that_wait_for_the_knots_have_no_value_of_the_new_features():
    (xs, ys), straight, halted = of_grown(400), AdditiveRanker(GROWN), AdditiveRanker(FEATURES)
    xs[:150, 3:] = np.nan
    for x, y in zip(xs[:150], ys, strict=False):
        straight.learn_one(x, bool(y))
        halted.learn_one(x[:3], bool(y))
    assert restored(halted).snapshot() == straight.snapshot()
    grown = restored(halted)
    for model in (straight, grown):
        model.learn_many(xs[150:], ys[150:], np.ones(250))
    assert grown.snapshot() == straight.snapshot()


def test_a_ranker_with_crosses_keeps_them_behind_the_new_features():
    settings = msgspec.structs.replace(RANKING, crosses=(Cross("basket", "seen", above=0.0),))
    model, (xs, ys) = AdditiveRanker(FEATURES, settings), examples(1_000)
    model.learn_many(xs, ys, np.ones(len(xs)))
    grown = restored(model)
    wide = np.hstack((xs[:20], np.ones((20, 2))))
    assert [grown.score_one(x) for x in wide] == [model.score_one(x) for x in xs[:20]]
    grown.learn_one(wide[0], True)
    assert restored(grown).snapshot() == grown.snapshot()


@pytest.mark.parametrize("features", [("minimum", "basket", "seen", "more"), FEATURES[:2]])
def test_a_snapshot_of_features_that_are_not_the_first_is_refused(features):
    with pytest.raises(ValueError, match="snapshot is of features"):
        restored(taught(), features)


def test_what_is_no_snapshot_is_refused():
    with pytest.raises(ValueError, match="not a snapshot of this model"):
        AdditiveRanker(FEATURES).restore(b"nothing")
