from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from online_models.metrics import RollingQuality, average_precision, log_loss, precision_at, roc_auc

some_examples = st.lists(
    st.tuples(st.booleans(), st.sampled_from((0.0, 0.1, 0.25, 0.5, 0.99, 1.0)) | st.floats(0.0, 1.0)),
    min_size=2,
    max_size=60,
).filter(lambda pairs: len({y for y, _ in pairs}) == 2)


def columns(pairs):
    labels, scores = zip(*pairs, strict=True)
    return np.array(labels), np.array(scores)


@given(some_examples)
def test_the_figures_are_those_of_scikit_learn(pairs):
    y, p = columns(pairs)
    assert roc_auc(y, p) == pytest.approx(sklearn_metrics.roc_auc_score(y, p), abs=1e-12)
    assert average_precision(y, p) == pytest.approx(sklearn_metrics.average_precision_score(y, p), abs=1e-12)
    assert log_loss(y, p) == pytest.approx(sklearn_metrics.log_loss(y, p), abs=1e-9)


def test_precision_is_the_share_of_positives_at_the_top():
    y = np.array([True, False, True, False])
    assert precision_at(y, np.array([0.9, 0.8, 0.1, 0.2]), 2) == 0.5
    assert precision_at(y, np.array([0.5, 0.5, 0.5, 0.5]), 1) == 1.0
    assert precision_at(y, np.array([0.9, 0.8, 0.1, 0.2]), 100) == 0.5


def test_figures_that_are_not_defined_are_none():
    nothing = RollingQuality().quality()
    assert (nothing.count, nothing.positives) == (0, 0)
    assert nothing.roc_auc is nothing.average_precision is nothing.log_loss is nothing.precision_at_k is None
    genuine = RollingQuality()
    genuine.add(False, 0.25)
    assert genuine.quality().roc_auc is None
    assert genuine.quality().average_precision is None
    assert genuine.quality().log_loss == pytest.approx(-np.log(0.75))


@given(some_examples, st.integers(1, 20))
def test_only_the_last_examples_count(pairs, window):
    rolling, naive = RollingQuality(window, k=3), RollingQuality(len(pairs), k=3)
    for y, p in pairs:
        rolling.add(y, p)
    for y, p in pairs[-window:]:
        naive.add(y, p)
    assert rolling.quality() == naive.quality()


@given(some_examples, st.integers(1, 20))
def test_restored_metrics_go_on_the_same(pairs, window):
    straight, restored = RollingQuality(window), RollingQuality()
    for y, p in pairs:
        restored.restore(straight.snapshot())
        straight.add(y, p)
        restored.add(y, p)
        assert restored.quality() == straight.quality()


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan")])
def test_a_score_that_is_no_probability_is_refused(score):
    with pytest.raises(ValueError, match=r"score must be in \[0, 1\]"):
        RollingQuality().add(True, score)


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        RollingQuality(window=0)
