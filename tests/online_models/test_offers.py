from __future__ import annotations

import numpy as np
import pytest

from online_models.base import Model, Vector
from online_models.checks import model_checks
from online_models.offers import AdditiveRanker

FEATURES = ("basket", "minimum", "seen")


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
