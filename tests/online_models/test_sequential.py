"""A test that may be stopped at any time is fooled no more often than it says, and finds what there is to find."""

from itertools import product
from math import inf

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.base import Vector
from online_models.sequential import BETS, Comparison, Evidence
from schemas.offer_results import Arm

ALPHA = 0.05
ARMS: tuple[Arm, Arm] = ("champion", "challenger")
rewards = st.floats(0.0, 1.0)
shares = st.floats(0.05, 0.95)
histories = st.lists(st.tuples(st.sampled_from(ARMS), rewards), max_size=20)


def after(share: float, *added: tuple[Arm, float]) -> Comparison:
    found = Comparison(share)
    for arm, reward in added:
        found.add(arm, reward)
    return found


def drawn(share: float, champion: Vector, challenger: Vector, streams: int, seed: int) -> tuple[Vector, Vector]:
    """Return which rewards are the challenger's and whether they are 1, a row per stream; rates change over time."""
    chance = np.random.default_rng(seed)
    arms = chance.random((streams, len(champion))) < share
    won = chance.random(arms.shape) < np.where(arms, challenger, champion)
    return arms.astype(np.float64), won.astype(np.float64)


def sums(share: float, arms: Vector, won: Vector) -> tuple[Vector, Vector]:
    """Return the scores and their squares after each reward of each stream, all at once."""
    before = won.cumsum(axis=1) - won
    above = won - (before + 0.5) / np.arange(1, won.shape[1] + 1)
    scores = np.where(arms, above / share, -above / (1.0 - share))
    return scores.cumsum(axis=1), (scores**2).cumsum(axis=1)


def e_values(share: float, scores: Vector, squares: Vector) -> Vector:
    """Return the evidence that the challenger is better, after each reward."""
    bets, scale = np.array(BETS), min(share, 1.0 - share)
    found: Vector = np.zeros_like(scores)
    for bet, cost in zip(bets * scale, (-np.log1p(-bets) - bets) * scale**2, strict=True):
        found += np.exp(bet * scores - cost * squares) / len(bets)
    return found


@given(share=shares, history=histories, champion=rewards, challenger=rewards)
def test_evidence_is_not_expected_to_grow_where_there_is_nothing_to_find(
    share: float, history: list[tuple[Arm, float]], champion: float, challenger: float
) -> None:
    """The next reward is 1 with a chance of the arm's mean: the exact expectation over arm and reward."""
    now = after(share, *history).evidence(ALPHA)
    better, worse = 0.0, 0.0
    for arm, reward in product(ARMS, (0.0, 1.0)):
        then = after(share, *history, (arm, reward)).evidence(ALPHA)
        drawn_to, mean = (share, challenger) if arm == "challenger" else (1.0 - share, champion)
        chance = drawn_to * (mean if reward else 1.0 - mean)
        better, worse = better + chance * then.better, worse + chance * then.worse
    if challenger <= champion:
        assert better <= now.better * (1.0 + 1e-9)
    if challenger >= champion:
        assert worse <= now.worse * (1.0 + 1e-9)


STEADY, HALF = np.full(3_000, 0.3), np.full(1_500, 0.3)
NOTHING = {
    "a tenth": (0.1, STEADY),
    "half": (0.5, STEADY),
    "rare": (0.1, np.full(3_000, 0.02)),
    "drifting": (0.2, np.linspace(0.1, 0.6, 3_000)),
    "jumping": (0.1, np.concatenate((HALF, HALF * 2))),
}


@pytest.mark.parametrize("world", NOTHING)
def test_whoever_looks_after_every_reward_is_fooled_no_more_often_than_alpha(world: str) -> None:
    share, rates = NOTHING[world]
    scores, squares = sums(share, *drawn(share, rates, rates, 1_000, 1))
    for sign in (1.0, -1.0):
        assert (e_values(share, sign * scores, squares).max(axis=1) >= 1.0 / ALPHA).mean() <= ALPHA


def test_the_interval_holds_the_difference_all_the_time() -> None:
    share, rates = 0.2, np.linspace(0.2, 0.4, 2_000)
    arms, won = drawn(share, rates, rates + 0.1, 60, 2)
    missed = 0
    for each_arms, each_won in zip(arms, won, strict=True):
        found, held = Comparison(share), True
        for at, reward in zip(each_arms, each_won, strict=True):
            found.add(ARMS[int(at)], float(reward))
            if found.outcomes % 50 == 0:
                _, _, low, high = found.evidence(ALPHA)
                held = held and low <= 0.1 <= high
        missed += not held
    assert missed <= 60 * ALPHA


@pytest.mark.parametrize(("share", "within"), [(0.1, 15_000), (0.5, 5_500)])
def test_a_difference_of_five_points_is_found_four_times_in_five(share: float, within: int) -> None:
    better = drawn(share, np.full(within, 0.3), np.full(within, 0.35), 100, 3)
    worse = drawn(share, np.full(within, 0.35), np.full(within, 0.3), 100, 4)
    scores, squares = sums(share, *better)
    assert (e_values(share, scores, squares).max(axis=1) >= 1.0 / ALPHA).mean() >= 0.8
    scores, squares = sums(share, *worse)
    assert (e_values(share, -scores, squares).max(axis=1) >= 1.0 / ALPHA).mean() >= 0.8


def test_one_reward_after_the_other_gives_what_all_at_once_give() -> None:
    arms, won = drawn(0.1, np.full(400, 0.3), np.full(400, 0.5), 3, 5)
    scores, squares = sums(0.1, arms, won)
    expected = e_values(0.1, scores, squares), e_values(0.1, -scores, squares)
    for row in range(3):
        found = Comparison(0.1)
        for at in range(400):
            found.add(ARMS[int(arms[row, at])], float(won[row, at]))
            evidence = found.evidence(ALPHA)
            assert evidence.better == pytest.approx(expected[0][row, at], rel=1e-9)
            assert evidence.worse == pytest.approx(expected[1][row, at], rel=1e-9)
        assert found.challenger.mean == pytest.approx(won[row][arms[row] == 1].mean())


def test_an_interval_without_zero_is_evidence_enough() -> None:
    found = after(0.5, *[(arm, float(arm == "challenger")) for _ in range(60) for arm in ARMS]).evidence(ALPHA)
    assert found.low > 0.0
    assert found.better >= 2.0 / ALPHA
    assert found.worse < 1.0


def test_before_the_first_reward_nothing_is_known() -> None:
    assert Comparison(0.1).evidence(ALPHA) == Evidence(1.0, 1.0, -1.0, 1.0)
    assert Comparison(0.1).champion.mean is None


def test_evidence_beyond_what_a_float_holds_is_cut() -> None:
    found = after(0.5, *[(arm, float(arm == "challenger")) for _ in range(20_000) for arm in ARMS])
    assert 1e290 < found.evidence(ALPHA).better < inf


@given(share=shares, history=histories)
def test_a_restored_comparison_goes_on_bit_for_bit(share: float, history: list[tuple[Arm, float]]) -> None:
    found = after(share, *history)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Comparison)
    assert again == found
    assert again.evidence(ALPHA) == found.evidence(ALPHA)


@pytest.mark.parametrize("reward", [-0.1, 1.1, float("nan")])
def test_a_reward_out_of_bounds_is_refused(reward: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        Comparison(0.1).add("champion", reward)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_a_share_that_leaves_one_arm_alone_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="one arm alone tells nothing"):
        Comparison(share)
