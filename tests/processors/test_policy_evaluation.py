"""Off-policy estimates equal a naive reading of their formulas, and the truth where it is known."""

from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.policies import build
from processors.candidate_policies import fixed, indexed, progressive
from processors.policy_evaluation import BLOCKS, Bootstrap, Column, Estimate, Log, evaluate, expected_rewards

RATES = np.array([[0.1, 0.5, 0.3], [0.6, 0.2, 0.3]])
"""Expected rewards by kind of customer and action."""
FEW = Bootstrap(resamples=200)


def logged(rows: int = 4_000, seed: int = 1) -> tuple[Log, Column, Column]:
    """Return a log of a lopsided logger, its probabilities and the true expected rewards."""
    chance = np.random.default_rng(seed)
    kind = chance.integers(0, 2, rows)
    logger = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])[kind]
    action = (chance.random(rows)[:, None] > logger.cumsum(axis=1)).sum(axis=1)
    reward = (chance.random(rows) < RATES[kind, action]).astype(np.float64)
    return Log(action, reward, logger[np.arange(rows), action]), logger, RATES[kind]


def candidate(rows: int) -> Column:
    return np.tile([0.2, 0.3, 0.5], (rows, 1))


@given(seed=st.integers(0, 50), clip=st.sampled_from([1.0, 2.0, np.inf]))
def test_estimates_are_those_of_their_formulas(seed: int, clip: float) -> None:
    log, _, _ = logged(30, seed)
    probability, expected = candidate(30), expected_rewards(log, 3)
    found = evaluate(log, probability, expected, clip, Bootstrap(resamples=2))
    rewards = weights = squares = direct = robust = 0.0
    for row in range(30):
        a, r = log.action[row], log.reward[row]
        w = min(probability[row, a] / log.propensity[row], clip)
        model = sum(probability[row, each] * expected[row, each] for each in range(3))
        rewards, weights, squares = rewards + w * r, weights + w, squares + w * w
        direct, robust = direct + model, robust + model + w * (r - expected[row, a])
    values = [each.value for each in (found.ips, found.snips, found.dm, found.dr)]
    assert values == pytest.approx([rewards / 30, rewards / weights, direct / 30, robust / 30])
    assert found.ess == pytest.approx(weights**2 / squares)


def test_the_loggers_own_value_is_what_it_earned() -> None:
    log, logger, truth = logged()
    found = evaluate(log, logger, truth, bootstrap=FEW)
    assert found.ips.value == found.snips.value == pytest.approx(log.reward.mean())
    assert (found.ess, found.max_weight, found.clipped) == (len(log.action), 1.0, 0.0)


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_intervals_cover_the_truth_as_often_as_they_say(estimator: str) -> None:
    covered = 0
    for seed in range(100):
        log, _, _ = logged(1_000, seed)
        value = (candidate(1_000) * RATES.mean(axis=0)).sum() / 1_000
        found: Estimate = getattr(evaluate(log, candidate(1_000), expected_rewards(log, 3), bootstrap=FEW), estimator)
        covered += found.low <= value <= found.high
    assert 88 <= covered <= 100


def test_doubly_robust_mends_a_model_that_knows_nothing_of_the_context() -> None:
    biases = {"dm": 0.0, "dr": 0.0}
    for seed in range(30):
        log, _, truth = logged(2_000, seed)
        best = np.eye(3)[truth.argmax(axis=1)]
        found = evaluate(log, best, expected_rewards(log, 3), bootstrap=Bootstrap(resamples=2))
        value = (best * truth).sum(axis=1).mean()
        biases["dm"] += (found.dm.value - value) / 30
        biases["dr"] += (found.dr.value - value) / 30
    assert abs(biases["dr"]) < 0.02 < abs(biases["dm"])


def test_clipping_bounds_the_weights_and_says_how_often() -> None:
    log, _, truth = logged()
    found = evaluate(log, candidate(4_000), truth, clip=1.5, bootstrap=FEW)
    assert found.max_weight == 1.5
    assert 0.0 < found.clipped < 1.0
    assert found.ips.value < evaluate(log, candidate(4_000), truth, bootstrap=FEW).ips.value


def test_the_bootstrap_of_a_long_log_is_as_wide_as_theory_says() -> None:
    log, logger, truth = logged(4 * BLOCKS)
    found = evaluate(log, logger, truth).ips
    expected = 2 * 1.96 * log.reward.std() / np.sqrt(len(log.reward))
    assert found.high - found.low == pytest.approx(expected, rel=0.08)


def test_the_same_seed_gives_the_same_interval() -> None:
    log, logger, truth = logged()
    assert evaluate(log, logger, truth, bootstrap=FEW) == evaluate(log, logger, truth, bootstrap=FEW)


def test_a_candidate_that_was_never_logged_has_no_sample() -> None:
    log = Log(np.zeros(5, dtype=np.intp), np.ones(5), np.full(5, 0.5))
    found = evaluate(log, fixed(1, 2, 5), np.zeros((5, 2)), bootstrap=FEW)
    assert (found.ess, found.ips.value, found.snips.value) == (0.0, 0.0, 0.0)


def test_no_row_is_in_its_own_model() -> None:
    log, _, _ = logged(200)
    before = expected_rewards(log, 3, np.ones((200, 1)))
    changed = log.reward.copy()
    changed[7] += 100.0
    after = expected_rewards(Log(log.action, changed, log.propensity), 3, np.ones((200, 1)))
    assert (after[7] == before[7]).all()
    assert (after != before).any()


def test_a_model_learns_from_contexts() -> None:
    log, _, truth = logged()
    kind = (truth[:, 0] == 0.6).astype(np.float64)
    contexts = np.column_stack((1.0 - kind, kind))
    expected = expected_rewards(log, 3, contexts)
    assert expected[kind == 1.0, 0].mean() > expected[kind == 0.0, 0].mean()


@pytest.mark.parametrize(
    ("action", "reward", "propensity", "said"),
    [
        ([], [], [], "no rows"),
        ([0], [1.0, 0.0], [0.5], "columns of 1, 2 and 1 rows"),
        ([0, 0], [1.0, 0.0], [0.5, 0.0], "row 1 has propensity 0.0, 1 rows in all"),
        ([0], [1.0], [1.5], "propensity 1.5"),
        ([0], [np.nan], [0.5], "row 0 has no finite reward"),
    ],
)
def test_a_log_that_cannot_be_is_refused(
    action: list[int], reward: list[float], propensity: list[float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Log(np.array(action, dtype=np.intp), np.array(reward), np.array(propensity))


def test_a_candidate_is_a_distribution_over_all_actions() -> None:
    log, logger, truth = logged(10)
    for wrong in (logger[:5], logger * 0.9):
        with pytest.raises(ValueError, match="one distribution over all actions"):
            evaluate(log, wrong, truth)


def test_a_progressive_candidate_knows_no_row_before_it_is_judged() -> None:
    log, _, _ = logged(300)
    contexts, arms, seen = np.ones((300, 1)), ("a", "b", "c"), list[int]()
    before = progressive(build("softmax"), log, arms, contexts, every=20, told=seen.append)
    changed = log.reward.copy()
    changed[100:] = 1.0 - changed[100:]
    after = progressive(build("softmax"), Log(log.action, changed, log.propensity), arms, contexts, every=20)
    assert np.array_equal(before[:120], after[:120])
    assert not np.array_equal(before[120:], after[120:])
    assert seen == list(range(20, 301, 20))


def test_actions_are_indexed_by_name() -> None:
    arms, action = indexed(["b", "a", "b"])
    assert (arms, action.tolist()) == (("a", "b"), [1, 0, 1])


def test_estimates_on_real_ads_find_what_is_known_of_them(data_folder: Path) -> None:
    """The table tells every ad's click: logged by chance, each ad's value must come out within its interval."""
    table = pyarrow.csv.read_csv(data_folder / "ads_ctr_10arm" / "Ads_CTR_Optimisation.csv.gz")
    clicks = np.column_stack([column.to_pylist() for column in table.columns]).astype(np.float64)
    rows, actions = clicks.shape
    shares = np.array([0.05] * 9 + [0.55])
    action = np.random.default_rng(5).choice(actions, size=(rows,), p=shares).astype(np.intp)
    log = Log(action, clicks[np.arange(rows), action], shares[action])
    expected, covered = expected_rewards(log, actions), 0
    for each in range(actions):
        found = evaluate(log, fixed(each, actions, rows), expected)
        covered += sum(e.low <= clicks[:, each].mean() <= e.high for e in (found.ips, found.snips, found.dr))
    assert covered >= 27
