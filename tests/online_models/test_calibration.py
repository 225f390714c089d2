from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.calibration import Bin, Calibration


def taught(seed: int, count: int, truth) -> Calibration:
    """Learns scores spread over log-odds -8 … 2 whose labels come true with the chance `truth(score)`."""
    rng = np.random.default_rng(seed)
    calibration = Calibration()
    scores = 1.0 / (1.0 + np.exp(-rng.uniform(-8.0, 2.0, count)))
    for p, luck in zip(scores.tolist(), rng.random(count).tolist(), strict=True):
        calibration.learn_one(p, luck < truth(p))
    return calibration


def test_it_begins_as_the_identity():
    untaught = Calibration()
    for p in (0.0001, 0.01, 0.3, 0.9, 0.9999):
        assert untaught.calibrate(p) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize("p", [0.05, 0.4, 0.8])
def test_an_overconfident_score_is_brought_to_its_rate(p):
    halved = taught(1, 40_000, lambda score: score / 2.0)
    assert halved.calibrate(p) == pytest.approx(p / 2.0, rel=0.25)


@given(st.integers(0, 50), st.lists(st.floats(0.0, 1.0), min_size=2, max_size=20))
def test_it_keeps_the_order_of_scores(seed, scores):
    calibration = taught(seed, 300, lambda score: 0.5 - score / 2.0)
    said = [calibration.calibrate(p) for p in sorted(scores)]
    assert said == sorted(said)
    assert all(0.0 <= p <= 1.0 for p in said)


def test_what_it_says_comes_true_by_the_table():
    table = taught(2, 40_000, lambda score: score**2).reliability_table()
    busy = [row for row in table if row.count > 1_000 and row.observed_rate > 0.02]
    assert len(busy) >= 4
    for row in busy:
        assert row.low <= row.mean_predicted < row.high
        assert row.mean_predicted == pytest.approx(row.observed_rate, rel=0.4)


def test_an_untaught_table_is_empty_and_a_row_counts_what_was_said_before():
    calibration = Calibration()
    assert calibration.reliability_table() == []
    calibration.learn_one(0.15, True)
    assert calibration.reliability_table() == [Bin(0.1, 0.2, 1.0, pytest.approx(0.15), 1.0)]


def test_it_forgets_what_is_no_longer_true():
    calibration = Calibration()
    for _ in range(20_000):
        calibration.learn_one(0.5, False)
    before = calibration.calibrate(0.5)
    for _ in range(60_000):
        calibration.learn_one(0.5, True)
    assert before < 0.01
    assert calibration.calibrate(0.5) > 0.9


def test_restored_it_goes_on_bit_for_bit():
    straight, restored = taught(3, 1_234, lambda score: score / 3.0), Calibration()
    restored.restore(straight.snapshot())
    for p in np.linspace(0.0, 1.0, 200).tolist():
        assert restored.calibrate(p) == straight.calibrate(p)
        straight.learn_one(p, p > 0.5)
        restored.learn_one(p, p > 0.5)
    assert restored.snapshot() == straight.snapshot()
    assert len(straight.snapshot()) < 3_000


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_a_score_that_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        Calibration().calibrate(p)
