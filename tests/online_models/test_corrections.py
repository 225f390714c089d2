"""Corrections: a ranker that is told later what an example really earned comes close to one that knew it at once."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from online_models.base import Vector
from online_models.metrics import log_loss
from online_models.offers import AdditiveRanker, paired

FEATURES = tuple(f"f{number}" for number in range(12))
DELAY = 1_000


def examples(count: int, seed: int) -> tuple[Vector, Vector]:
    rng = np.random.default_rng(seed)
    xs = rng.normal(0.0, 1.0, (count, len(FEATURES)))
    log_odds = -0.5 + 1.2 * xs[:, 0] - 0.8 * np.abs(xs[:, 1]) + 0.5 * xs[:, 2]
    return xs, (rng.random(count) < 1.0 / (1.0 + np.exp(-log_odds))).astype(np.float64)


def loss_of(label: float, share: float, *, corrected: bool) -> float:
    """Return the log loss on new examples, when a share of those with a label was first told as the other one."""
    model, told_wrong = AdditiveRanker(FEATURES), deque[int]()
    xs, ys = examples(6_000, seed=1)
    wrong = (ys == label) & (np.random.default_rng(2).random(len(ys)) < share)
    for at, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if told_wrong and told_wrong[0] + DELAY <= at:
            due = told_wrong.popleft()
            model.correct_one(xs[due], 1.0 - ys[due], ys[due])
        model.learn_one(x, bool(y) != bool(wrong[at]))
        if corrected and wrong[at]:
            told_wrong.append(at)
    xs, ys = examples(3_000, seed=3)
    loss = log_loss(ys.astype(np.bool_), model.score_many(xs))
    assert loss is not None
    return loss


@pytest.mark.parametrize("label", [1.0, 0.0], ids=["late rewards", "reversals"])
def test_most_of_what_wrong_rewards_cost_is_won_back(label: float) -> None:
    never, told, left = loss_of(label, 0.0, corrected=False), *(loss_of(label, 0.3, corrected=c) for c in (True, False))
    assert never < told < left
    assert told - never < 0.5 * (left - never)


def test_while_examples_wait_for_the_knots_a_correction_is_exact() -> None:
    xs, ys = examples(300, seed=4)
    corrected, expected = AdditiveRanker(FEATURES), AdditiveRanker(FEATURES)
    for x, y in zip(xs[:100], ys[:100], strict=True):
        corrected.learn_one(x, bool(y))
        expected.learn_one(x, bool(y))
    for label, share in paired(0.25, 2.0):
        corrected.learn_one(xs[100], label, share)
    corrected.correct_one(xs[100], 0.25, 1.0, 2.0)
    expected.learn_one(xs[100], True, 2.0)
    assert corrected.snapshot() == expected.snapshot()
    assert corrected.score_one(xs[200]) == expected.score_one(xs[200])


def test_what_was_never_learned_is_learned_when_it_is_corrected() -> None:
    xs, ys = examples(199, seed=4)
    corrected, expected = AdditiveRanker(FEATURES), AdditiveRanker(FEATURES)
    for model in (corrected, expected):
        for x, y in zip(xs, ys, strict=True):
            model.learn_one(x, bool(y))
    corrected.correct_one(np.zeros(12), 0.0, 0.5, 1.0)
    for label, share in paired(0.5, 1.0):
        expected.learn_one(np.zeros(12), label, share)
    assert corrected.ready
    assert corrected.snapshot() == expected.snapshot()


@pytest.mark.parametrize(("x", "weight"), [(np.full(12, np.inf), 1.0), (np.zeros(12), -1.0), (np.zeros(11), 1.0)])
def test_a_correction_that_cannot_be_changes_nothing(x: Vector, weight: float) -> None:
    model = AdditiveRanker(FEATURES)
    before = model.snapshot()
    with pytest.raises(ValueError, match=r"f0|weight|expected 12 numbers"):
        model.correct_one(x, 0.0, 1.0, weight)
    assert model.snapshot() == before
