from __future__ import annotations

import numpy as np
import pytest

from online_models.anomaly import AnomalyScore

FEATURES = ("amount", "count", "flag")


def ordinary(seed: int, count: int):
    rng = np.random.default_rng(seed)
    flags = np.where(rng.random(count) < 0.1, np.nan, (rng.random(count) < 0.3).astype(float))
    return np.column_stack((rng.lognormal(3.0, 0.5, count), rng.poisson(4.0, count).astype(float), flags))


def taught(count: int = 3_000) -> AnomalyScore:
    anomaly = AnomalyScore(FEATURES, memory=2_000)
    for x in ordinary(1, count):
        anomaly.learn_one(x)
    return anomaly


@pytest.mark.parametrize(
    "odd",
    [(5_000.0, 4.0, 0.0), (0.01, 4.0, 0.0), (20.0, 90.0, 1.0), (-1e300, 1e300, 1e300), (20.0, np.nan, 0.0)],
)
def test_what_never_happens_is_unusual(odd):
    assert taught().score_one(np.array(odd)) > 0.9


def test_scores_of_ordinary_examples_are_spread_evenly():
    anomaly = taught()
    scores = np.array([anomaly.score_one(x) for x in ordinary(2, 2_000)])
    assert scores.min() >= 0.0
    assert scores.max() <= 1.0
    assert np.quantile(scores, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.07)


def test_the_surprise_says_which_value_is_odd():
    surprises = taught().surprises(np.array([5_000.0, 4.0, 0.0]))
    assert surprises.argmax() == 0
    assert (surprises >= 0.0).all()


def test_what_becomes_usual_is_no_longer_unusual():
    anomaly = taught()
    odd = np.array([400.0, 4.0, 0.0])
    before = anomaly.score_one(odd)
    for x in ordinary(3, 6_000):
        anomaly.learn_one(x * (20.0, 1.0, 1.0))
    assert anomaly.score_one(odd) < 0.7 < before


def test_a_score_knows_every_example_learned_before_it():
    anomaly = AnomalyScore(FEATURES)
    for x in ordinary(6, 50):
        fresh = AnomalyScore(FEATURES)
        fresh.restore(anomaly.snapshot())
        assert anomaly.score_one(x) == fresh.score_one(x)
        anomaly.learn_many(x[np.newaxis])


def test_scoring_changes_nothing():
    asked, quiet = AnomalyScore(FEATURES), AnomalyScore(FEATURES)
    for x in ordinary(4, 300):
        asked.score_one(x)
        asked.surprises(x)
        asked.learn_one(x)
        quiet.learn_one(x)
    assert asked.snapshot() == quiet.snapshot()


def test_restored_it_goes_on_bit_for_bit():
    straight, restored = taught(500), AnomalyScore(FEATURES)
    restored.restore(straight.snapshot())
    for x in ordinary(5, 300):
        assert restored.score_one(x) == straight.score_one(x)
        straight.learn_one(x)
        restored.learn_one(x)
    assert restored.snapshot() == straight.snapshot()


def test_the_snapshot_has_a_fixed_size():
    assert len(taught(10).snapshot()) == len(taught(1_000).snapshot())
    wide = AnomalyScore(tuple(f"feature {i}" for i in range(40)))
    assert len(wide.snapshot()) < 25_000


@pytest.mark.parametrize("act", ["score_one", "learn_one", "surprises"])
def test_an_infinite_value_is_named(act):
    with pytest.raises(ValueError, match="'count' is inf"):
        getattr(taught(10), act)(np.array([1.0, np.inf, 0.0]))


def test_a_wrong_length_is_refused():
    with pytest.raises(ValueError, match="expected 3 numbers"):
        taught(10).score_one(np.zeros(4))


def test_a_snapshot_of_other_features_is_refused():
    with pytest.raises(ValueError, match="features"):
        AnomalyScore(("speed",)).restore(taught(10).snapshot())


def test_it_needs_a_feature():
    with pytest.raises(ValueError, match="needs a feature"):
        AnomalyScore(())
