"""Policies keep one contract: chances that sum to one, learning that can be undone, and exact restarts."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.arms import LinearSettings, Outcome, RateSettings, beta_beliefs
from online_models.base import Vector
from online_models.exploration import EpsilonGreedy, Mask, Softmax, SquareCB, Thompson
from online_models.policies import WAYS, Bandit, Believer, Policy, Slate, build

ARMS = tuple(f"offer-{number}" for number in range(6))
WIDTH = 3
RATES = np.array([0.1, 0.2, 0.3, 0.25, 0.05, 0.6])


def contexts(count: int = len(ARMS), seed: int = 5) -> Vector:
    return np.random.default_rng(seed).normal(size=(count, WIDTH))


def outcomes(count: int = 300, seed: int = 1, at_times: bool = True) -> list[Outcome]:
    chance = np.random.default_rng(seed)
    return [
        Outcome(
            arm=ARMS[arm],
            reward=float(chance.random() < RATES[arm]),
            weight=float(chance.integers(1, 4)),
            examination=float(chance.uniform(0.3, 1.0)),
            time=float(number) if at_times else None,
            context=tuple(chance.normal(size=WIDTH)),
        )
        for number, arm in enumerate(chance.integers(0, len(ARMS), count), 1)
    ]


def trained(policy: Bandit, learned: list[Outcome] | None = None) -> Bandit:
    for outcome in outcomes() if learned is None else learned:
        policy.learn(outcome)
    return policy


def chances(policy: Policy, arms: tuple[str, ...] = ARMS, open_: Mask | None = None, seed: int = 3) -> Vector:
    slate = Slate(arms, contexts(len(arms)))
    everything = np.ones(len(arms), dtype=np.bool_)
    return policy.chances(slate, np.random.default_rng(seed))(everything if open_ is None else open_)


@pytest.fixture(params=[*WAYS, "shared linear-thompson"])
def policy(request: pytest.FixtureRequest) -> Bandit:
    if request.param.startswith("shared"):
        return Bandit(LinearSettings(WIDTH, arms="shared"), Thompson())
    return build(request.param, WIDTH)


def test_every_policy_is_a_policy(policy: Bandit) -> None:
    assert isinstance(policy, Policy)


@given(open_=st.lists(st.booleans(), min_size=6, max_size=6).filter(any), learned=st.integers(0, 60))
@pytest.mark.parametrize("name", WAYS)
def test_chances_are_of_the_open_alone_and_sum_to_one(name: str, open_: list[bool], learned: int) -> None:
    policy, mask = trained(build(name, WIDTH), outcomes(learned)), np.array(open_)
    found = chances(policy, open_=mask)
    assert found.sum() == pytest.approx(1.0)
    assert (found >= 0.0).all()
    assert (found[~mask] == 0.0).all()


def test_asking_changes_nothing(policy: Bandit) -> None:
    before = trained(policy).snapshot()
    assert np.array_equal(chances(policy), chances(policy))
    assert policy.snapshot() == before


def test_a_restored_policy_goes_on_identically(policy: Bandit) -> None:
    first, rest = outcomes()[:150], outcomes()[150:]
    trained(policy, first)
    restored = build("uniform")
    restored.restore(policy.snapshot())
    for each in (policy, restored):
        trained(each, rest)
    assert restored.snapshot() == policy.snapshot()
    assert np.array_equal(chances(restored), chances(policy))


@pytest.mark.parametrize("blob", [b"", b"not a snapshot", build("thompson").snapshot()[:40]])
def test_bytes_that_are_no_snapshot_change_nothing(policy: Bandit, blob: bytes) -> None:
    before = trained(policy).snapshot()
    with pytest.raises(ValueError, match="snapshot"):
        policy.restore(blob)
    assert policy.snapshot() == before


def test_sums_of_another_size_are_refused() -> None:
    forged = trained(build("thompson")).snapshot().replace(b"offer-1", b"offer-0")
    build("thompson").restore(forged)
    one = Bandit(RateSettings(half_lives=(5.0,)), Thompson()).snapshot()
    two = trained(build("thompson")).snapshot()
    start = two.index(b"\xa4sums")
    with pytest.raises(ValueError, match="snapshot has 36 sums"):
        build("thompson").restore(one[: one.index(b"\xa4sums")] + two[start:])


def test_unlearning_leaves_no_trace_in_what_is_believed(policy: Bandit) -> None:
    learned, mistaken = outcomes(), outcomes(20, seed=9)
    trained(policy, learned)
    expected = chances(policy)
    trained(policy, mistaken)
    for outcome in mistaken:
        policy.unlearn(outcome)
    assert chances(policy) == pytest.approx(expected, abs=1e-9)


def test_unlearning_needs_the_time(policy: Bandit) -> None:
    with pytest.raises(ValueError, match="at the time it was learned at"):
        policy.unlearn(Outcome(ARMS[0], 1.0, context=(0.0,) * WIDTH))


def test_the_clock_tells_the_time_of_an_outcome_that_had_none() -> None:
    policy = trained(build("thompson"), outcomes(5, at_times=False))
    policy.learn(Outcome(ARMS[0], 1.0))
    assert policy.clock == 6.0


def test_the_order_of_learning_does_not_matter(policy: Bandit) -> None:
    expected = chances(trained(policy))
    again = build("uniform")
    again.restore(policy.snapshot())
    for outcome in outcomes():
        again.unlearn(outcome)
    assert chances(trained(again, outcomes()[::-1])) == pytest.approx(expected, abs=1e-9)


def test_weight_zero_changes_nothing(policy: Bandit) -> None:
    before = trained(policy).snapshot()
    nothing = Outcome(ARMS[0], 1.0, weight=0.0, time=999.0, context=(1.0,) * WIDTH)
    policy.learn(nothing)
    policy.unlearn(nothing)
    assert policy.snapshot() == before


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (Outcome("a", 1.0, weight=-1.0), "weight"),
        (Outcome("a", float("nan")), "reward"),
        (Outcome("a", 1.0, examination=0.0), "examination"),
        (Outcome("a", 1.0, time=float("inf")), "time"),
    ],
)
def test_an_outcome_that_cannot_be_is_refused(policy: Bandit, wrong: Outcome, named: str) -> None:
    before = trained(policy).snapshot()
    with pytest.raises(ValueError, match=named):
        policy.learn(wrong)
    assert policy.snapshot() == before


def test_rates_take_rewards_between_zero_and_one() -> None:
    with pytest.raises(ValueError, match=r"reward must be in \[0, 1\], got 3"):
        build("thompson").learn(Outcome("a", 3.0))


def test_linear_models_take_contexts_of_their_width() -> None:
    with pytest.raises(ValueError, match="1 contexts of 3 numbers"):
        build("linucb", WIDTH).learn(Outcome("a", 1.0, context=(1.0,)))
    with pytest.raises(ValueError, match="got shape None"):
        build("linucb", WIDTH).beliefs(Slate(ARMS))
    with pytest.raises(ValueError, match="not a finite number"):
        build("linucb", 1).beliefs(Slate(("a",), np.array([[np.nan]])))


def test_a_policy_needs_a_name_that_there_is() -> None:
    with pytest.raises(ValueError, match="unknown policy 'oracle': there are thompson"):
        build("oracle")
    with pytest.raises(ValueError, match="at least one number"):
        build("linucb")
    with pytest.raises(ValueError, match="above 0"):
        build("thompson", half_lives=(0.0,))


def test_an_arm_that_is_forgotten_is_new_again() -> None:
    policy = trained(build("softmax"))
    new = policy.beliefs(Slate(("never seen",))).mean
    others = chances(policy, ARMS[1:])
    policy.forget(ARMS[0])
    policy.forget("never seen")
    assert set(policy.arms) == set(ARMS[1:])
    assert policy.beliefs(Slate(ARMS[:1])).mean == new
    assert chances(policy, ARMS[1:]) == pytest.approx(others)
    policy.unlearn(outcomes()[0])
    assert policy.beliefs(Slate(ARMS[:1])).mean == new


def test_a_skip_that_was_hardly_looked_at_says_little() -> None:
    top, bottom = build("softmax"), build("softmax")
    for _ in range(10):
        top.learn(Outcome("a", 0.0))
        bottom.learn(Outcome("a", 0.0, examination=0.1))
    assert top.beliefs(Slate(("a",))).mean < bottom.beliefs(Slate(("a",))).mean


@pytest.mark.parametrize("settings", [RateSettings(half_lives=(1e9,)), LinearSettings(1, ridge=1e-3, half_life=1e9)])
def test_position_bias_is_undone_by_examination(settings: RateSettings | LinearSettings) -> None:
    policy, chance = Bandit(settings, Softmax()), np.random.default_rng(4)
    for _ in range(20_000):
        examination = float(chance.choice([1.0, 0.5, 0.2]))
        policy.learn(Outcome("a", float(chance.random() < 0.3 * examination), 1.0, examination, context=(1.0,)))
    assert policy.beliefs(Slate(("a",), np.ones((1, 1)))).mean[0] == pytest.approx(0.3, abs=0.01)


def test_what_is_a_half_life_old_counts_half() -> None:
    policy = Bandit(RateSettings(half_lives=(100.0,)), Softmax())
    policy.learn(Outcome("a", 1.0, weight=8.0, time=0.0))
    policy.learn(Outcome("a", 0.0, weight=1.0, time=300.0))
    assert policy.beliefs(Slate(("a",))).mean[0] == pytest.approx((1.0 + 8.0 / 8.0) / (2.0 + 8.0 / 8.0 + 1.0))
    assert policy.beliefs(Slate(("a",), time=1e6)).mean[0] == 0.5


def test_memory_far_from_its_beginning_is_as_exact() -> None:
    early, late = (Bandit(RateSettings(half_lives=(10.0, 50.0)), Softmax()) for _ in range(2))
    start = 1.7e9
    late.learn(Outcome("a", 1.0, time=start - 1e6))
    for number, outcome in enumerate(outcomes(40)):
        early.learn(Outcome("a", outcome.reward, time=float(number)))
        late.learn(Outcome("a", outcome.reward, time=start + number))
    assert late.beliefs(Slate(("a",))).mean == pytest.approx(early.beliefs(Slate(("a",))).mean)


def test_a_change_makes_all_arms_forget_what_was_before() -> None:
    policy = build("thompson")
    for _ in range(2_000):
        policy.learn(Outcome("best", 1.0))
        policy.learn(Outcome("other", 0.0))
    sure = policy.beliefs(Slate(("other",))).deviation[0]
    for _ in range(30):
        policy.learn(Outcome("best", 0.0))
    assert policy.beliefs(Slate(("other",))).deviation[0] > 1.5 * sure
    before = policy.beliefs(Slate(("best",))).mean[0]
    policy.unlearn(Outcome("best", 1.0, time=1.0))
    assert policy.beliefs(Slate(("best",))).mean[0] == before


def test_one_outcome_of_large_weight_is_no_change() -> None:
    policy = build("thompson")
    for _ in range(500):
        policy.learn(Outcome("a", 1.0))
        policy.learn(Outcome("b", 0.0))
    before = policy.beliefs(Slate(("a",))).mean[0]
    policy.learn(Outcome("b", 1.0, weight=200.0))
    assert policy.beliefs(Slate(("a",))).mean[0] == pytest.approx(before, abs=1e-4)


def test_brought_scores_are_explored_around() -> None:
    slate = Slate(("a", "b"), scores=np.array([0.9, 0.4]))
    both = np.ones(2, dtype=np.bool_)
    for way, expected in ((EpsilonGreedy(0.2), 0.9), (Softmax(0.5), 1.0 / (1.0 + np.exp(-1.0))), (SquareCB(0.0), 0.5)):
        found = Bandit(RateSettings(), way).chances(slate, np.random.default_rng(1))(both)
        assert found[0] == pytest.approx(expected)
    assert Bandit(RateSettings(), Thompson(4_096)).chances(slate, np.random.default_rng(1))(both)[0] > 0.5
    with pytest.raises(ValueError, match="expected 2 finite scores"):
        build("softmax").beliefs(Slate(("a", "b"), scores=np.array([np.nan, 1.0])))


def test_equals_share() -> None:
    assert chances(build("epsilon-greedy")) == pytest.approx(1.0 / len(ARMS))


def test_squarecb_weighs_by_the_inverse_gap() -> None:
    policy = trained(build("squarecb"))
    mean, _, evidence, _ = policy.beliefs(Slate(ARMS))
    expected = 1.0 / (len(ARMS) + 10.0 * evidence**0.5 * (mean.max() - mean))
    expected[mean.argmax()] += 1.0 - expected.sum()
    assert chances(policy) == pytest.approx(expected)


@pytest.mark.parametrize("arms", ["disjoint", "shared"])
def test_linear_beliefs_are_those_of_ridge_regression(arms: str) -> None:
    policy = Bandit(ridge(arms), Softmax())
    learned = [Outcome("a", o.reward, o.weight, o.examination, o.time, o.context) for o in outcomes(50)]
    trained(policy, learned)
    xs = np.array([o.context for o in learned]) * np.array([[o.examination] for o in learned])
    weights, ys = np.array([o.weight for o in learned]), np.array([o.reward for o in learned])
    precision = np.eye(WIDTH) * 2.0 + (xs.T * weights) @ xs
    theta = np.linalg.solve(precision, (xs.T * weights) @ ys)
    x = contexts(1)
    mean, deviation, _, worlds = policy.beliefs(Slate(("a",), x))
    assert mean == pytest.approx(x @ theta)
    assert deviation**2 == pytest.approx(np.diag(x @ np.linalg.inv(precision) @ x.T) * 0.5**2)
    drawn = worlds(np.random.default_rng(1), 20_000)
    assert drawn.mean() == pytest.approx(mean[0], abs=0.01)
    assert drawn.std() == pytest.approx(deviation[0], rel=0.03)


def ridge(arms: str) -> LinearSettings:
    return LinearSettings(WIDTH, ridge=2.0, arms="shared" if arms == "shared" else "disjoint")


def test_linear_policies_find_what_suits_whom() -> None:
    policy, chance = build("linucb", 2), np.random.default_rng(8)
    for _ in range(600):
        kind, arm = chance.integers(0, 2, 2)
        context = tuple(np.eye(2)[kind])
        policy.learn(Outcome(f"arm-{arm}", float(chance.random() < (0.7 if kind == arm else 0.1)), context=context))
    for kind in (0, 1):
        slate = Slate(("arm-0", "arm-1"), np.tile(np.eye(2)[kind], (2, 1)))
        shares = policy.chances(slate, chance)(np.ones(2, dtype=np.bool_))
        assert shares[kind] == pytest.approx(0.99)


@pytest.mark.parametrize("prior_weight", [0.02, 2.0])
def test_worlds_are_drawn_from_what_is_believed(prior_weight: float) -> None:
    seen, won = np.array([0.0, 3.0, 400.0]), np.array([0.0, 3.0, 12.0])
    beliefs = beta_beliefs(seen, won, RateSettings(prior_weight=prior_weight))
    worlds = beliefs.worlds(np.random.default_rng(1), 40_000)
    assert worlds.mean(axis=0) == pytest.approx(beliefs.mean, abs=0.01)
    assert worlds.std(axis=0) == pytest.approx(beliefs.deviation, abs=0.01)
    assert np.isfinite(worlds).all()


def test_one_who_believes_chooses_as_a_bandit_that_has_learned_the_same() -> None:
    rates = RateSettings(half_lives=(inf,))
    bandit, slate = Bandit(rates, Thompson(64)), Slate(("a", "b", "c"), scores=np.array([0.3, 0.2, 0.4]))
    for arm, won, seen in (("a", 3, 10), ("b", 0, 4), ("c", 7, 9)):
        bandit.learn(Outcome(arm, won / seen, weight=float(seen)))
    believer = Believer(bandit.exploration, beta_beliefs(np.array([10.0, 4, 9]), np.array([3.0, 0, 7]), rates))
    for open_ in ([True, True, True], [False, True, True], [True, False, False]):
        chances = [each.chances(slate, np.random.default_rng(5))(np.array(open_)) for each in (bandit, believer)]
        assert chances[0] == pytest.approx(chances[1])
    assert believer.floor == bandit.floor == 1 / 64
