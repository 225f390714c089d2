"""A ranking's propensities are exact: 100,000 simulated decisions agree with what they logged."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.arms import Outcome, RateSettings
from online_models.base import Vector
from online_models.choice_kernels import drawn, mixed
from online_models.exploration import EpsilonGreedy, Exploration, Softmax, SquareCB, Thompson, UpperBound
from online_models.policies import WAYS, Bandit, Slate, build
from online_models.slots import Diversity, rank, seed_of

ARMS = tuple(f"offer-{number}" for number in range(7))
ELIGIBLE = np.array([True, True, False, True, True, True, True])
CATEGORY = np.array([0, 0, 0, 1, 1, 2, 2])
DRAWS = 100_000
WIDTH = 2


def contexts() -> Vector:
    return np.random.default_rng(6).normal(size=(len(ARMS), WIDTH))


def young(name: str, way: Exploration | None = None) -> Bandit:
    """Return a policy that has learned a little, so that no candidate is out of the question."""
    policy, chance = build(name, WIDTH), np.random.default_rng(2)
    if way is not None:
        policy.exploration = way
    for number in range(40):
        context = tuple(chance.normal(size=WIDTH))
        policy.learn(Outcome(ARMS[number % 7], float(chance.random() < 0.1 * (number % 7)), context=context))
    return policy


WIDE: dict[str, Exploration] = {
    "epsilon-greedy": EpsilonGreedy(0.4),
    "linucb": UpperBound(1.0, 0.4),
    "softmax": Softmax(0.3),
    "squarecb": SquareCB(1.0),
    "thompson": Thompson(8),
    "linear-thompson": Thompson(8),
}
"""Ways that leave every candidate some chance, so that rare ones are seen too."""


@pytest.mark.parametrize("name", WIDE)
def test_simulated_decisions_agree_with_what_they_logged(name: str) -> None:
    policy, slate = young(name, WIDE[name]), Slate(ARMS, contexts())
    expected: dict[tuple[int, ...], Vector] = defaultdict(lambda: np.zeros(len(ARMS)))
    seen: dict[tuple[int, ...], Vector] = defaultdict(lambda: np.zeros(len(ARMS)))
    for number in range(DRAWS // 3 + 1):
        above: tuple[int, ...] = ()
        for slot in rank(policy, slate, 3, seed_of(1, str(number)), ELIGIBLE, Diversity(CATEGORY, 1)):
            expected[above] += slot.distribution
            seen[above][slot.candidate] += 1.0
            above = (*above, slot.candidate)
    assert sum(counts.sum() for counts in seen.values()) >= DRAWS
    for above, counts in seen.items():
        assert (np.abs(counts - expected[above]) <= 4.5 * np.sqrt(expected[above]) + 1.0).all()
        assert not counts[~ELIGIBLE].any()
        assert not counts[np.isin(CATEGORY, CATEGORY[list(above)])].any()


@given(
    name=st.sampled_from(list(WAYS)),
    eligible=st.lists(st.booleans(), min_size=7, max_size=7),
    slots=st.integers(0, 9),
    most=st.integers(1, 3),
    decision=st.text(max_size=5),
)
def test_a_ranking_keeps_its_promises(name: str, eligible: list[bool], slots: int, most: int, decision: str) -> None:
    policy, slate, seed = young(name), Slate(ARMS, contexts()), seed_of(3, decision)
    diversity = Diversity(CATEGORY, most)
    found = rank(policy, slate, slots, seed, np.array(eligible), diversity)
    chosen = [slot.candidate for slot in found]
    assert len(set(chosen)) == len(chosen) <= slots
    assert all(eligible[candidate] for candidate in chosen)
    assert np.bincount(CATEGORY[chosen], minlength=3).max() <= most
    for slot in found:
        assert slot.propensity == slot.distribution[slot.candidate] >= max(slot.floor, 1e-12)
        assert slot.distribution.sum() == pytest.approx(1.0)
    again = rank(policy, slate, slots, seed, np.array(eligible), diversity)
    assert [slot[:3] for slot in again] == [slot[:3] for slot in found]


def test_slots_are_filled_while_anyone_is_left() -> None:
    open_ = np.ones(7, dtype=np.bool_)
    assert len(rank(build("uniform"), Slate(ARMS), 9, 1, open_)) == 7
    assert len(rank(build("uniform"), Slate(ARMS), 9, 1, open_, Diversity(CATEGORY, 1))) == 3
    assert rank(build("uniform"), Slate(ARMS), 9, 1, ~open_) == ()
    assert rank(build("uniform"), Slate(()), 9, 1, open_[:0]) == ()


def test_the_floor_is_logged_where_chances_are_sampled() -> None:
    (sampled,) = rank(Bandit(RateSettings(), Thompson(50)), Slate(ARMS), 1, 1, ELIGIBLE)
    (exact,) = rank(build("softmax"), Slate(ARMS), 1, 1, ELIGIBLE)
    assert (sampled.floor, exact.floor) == (0.02, 0.0)
    assert sampled.propensity * 50 == pytest.approx(round(sampled.propensity * 50))


@pytest.mark.parametrize("u", [0.0, 0.5, 1.0 - 2.0**-53])
def test_what_has_no_chance_is_never_drawn(u: float) -> None:
    assert drawn(np.array([0.0, 0.3, 0.0, 0.7, 0.0]), u) in (1, 3)


some_scores = st.lists(
    st.tuples(st.sampled_from((-0.5, 0.0, 0.1, 0.3)) | st.floats(-1.0, 1.0), st.booleans()), min_size=1
)


@given(some_scores, st.sampled_from((0.0, 0.02, 0.1, 1.0)))
def test_a_mixture_is_what_arrays_say_to_the_last_bit(candidates: list[tuple[float, bool]], epsilon: float) -> None:
    scores, open_ = (np.array(column) for column in zip(*candidates, strict=True))
    open_[0] = True
    best = open_ & (scores == scores[open_].max())
    expected = (1.0 - epsilon) * best / best.sum() + epsilon * open_ / open_.sum()
    for mixture in (mixed, mixed.py_func):
        assert mixture(scores, open_, epsilon).tolist() == expected.tolist()


@given(
    st.lists(st.sampled_from((0.0, 0.1, 0.25)) | st.floats(0.0, 1.0), min_size=1), st.floats(0.0, 1.0, exclude_max=True)
)
def test_what_is_drawn_is_what_cumulative_chances_say(chances: list[float], u: float) -> None:
    distribution = np.array([*chances, 0.5])
    cumulative = distribution.cumsum()
    found = int(cumulative.searchsorted(u * cumulative[-1], side="right"))
    assert drawn(distribution, u) == drawn.py_func(distribution, u) == min(found, len(chances))


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 7 eligibilities"):
        rank(build("uniform"), Slate(ARMS), 1, 1, ELIGIBLE[:3])
    with pytest.raises(ValueError, match="expected 7 categories"):
        rank(build("uniform"), Slate(ARMS), 1, 1, ELIGIBLE, Diversity(CATEGORY[:3], 1))
    with pytest.raises(ValueError, match="at least one of a category"):
        rank(build("uniform"), Slate(ARMS), 1, 1, ELIGIBLE, Diversity(CATEGORY, 0))


def test_a_seed_is_of_the_policy_and_the_decision() -> None:
    assert seed_of(-1, "d") != seed_of(1, "d") != seed_of(1, "e")
