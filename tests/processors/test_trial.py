"""A trial shares customers out by a hash, and who decides for them is told by how the trial stands."""

import numpy as np
import pytest

from processors.offer_scoring import Scored
from processors.offer_slots import LiveSplit, SlotFiller
from processors.offer_terms import Candidate, terms_of
from processors.trial import Trial
from schemas.rollout_results import Course, Rollout
from tests.contracts import results
from tests.processors.offer_world import offer

TRIAL = Trial("greedy", "uniform", 0.3, seed=7)
CUSTOMERS = [f"u{number}" for number in range(4_000)]
CANDIDATES = [Candidate(terms_of(offer(name))) for name in ("cake", "coffee", "tea")]
SCORED = Scored(CANDIDATES, np.empty((3, 0)), np.array([0.2, 0.4, 0.3]), "model", 1, None, False)


def rollout(state: Course, trial: str = TRIAL.name) -> Rollout:
    """Return how a trial stands."""
    return results.rollout(state=state, trial=trial)


def split(trial: Trial | None = TRIAL) -> LiveSplit:
    return LiveSplit(SlotFiller("greedy", seed=7), trial)


def arms(trial: Trial, tenant: str = "default") -> list[str]:
    return [trial.arm(tenant, user) for user in CUSTOMERS]


def test_the_challenger_has_its_share_of_the_customers() -> None:
    assert arms(TRIAL).count("challenger") / len(CUSTOMERS) == pytest.approx(0.3, abs=0.03)
    assert arms(TRIAL) == arms(TRIAL)


def test_another_trial_draws_anew() -> None:
    drawn = np.array(arms(TRIAL)) == "challenger"
    for other in (
        Trial("greedy", "softmax", 0.3, 7),
        Trial("greedy", "uniform", 0.3, 8),
        Trial("softmax", "uniform", 0.3, 7),
    ):
        again = np.array(arms(other)) == "challenger"
        assert (drawn & again).mean() == pytest.approx(0.09, abs=0.02)
        assert other.name != TRIAL.name
    assert arms(TRIAL, "shop") != arms(TRIAL)


def test_while_the_trial_runs_the_arm_decides_and_the_other_is_heard() -> None:
    for user in CUSTOMERS[:50]:
        arm = TRIAL.arm("default", user)
        for stand in (None, rollout("running")):
            choice = split().choose("default", user, stand)
            assert (choice.arm, choice.trial) == (arm, TRIAL.name)
            assert choice.filler.policy == {"champion": "greedy", "challenger": "uniform"}[arm]
            first = choice.first("d-1", SCORED)
            assert first is not None
            if arm == "challenger":
                assert (first.policy, first.offer, first.propensity) == ("greedy", "coffee", 1.0)
            else:
                assert first.policy == "uniform"
                assert first.propensity == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("state", "policy", "arm"), [("promoted", "uniform", "challenger"), ("rolled_back", "greedy", "champion")]
)
def test_when_the_trial_is_over_one_decides_for_all(state: Course, policy: str, arm: str) -> None:
    for user in CUSTOMERS[:50]:
        choice = split().choose("default", user, rollout(state))
        assert (choice.filler.policy, choice.arm, choice.trial) == (policy, arm, "")
        assert choice.first("d-1", SCORED) is None


def test_how_another_trial_ended_does_not_matter() -> None:
    choices = [split().choose("default", user, rollout("promoted", "greedy/softmax/0.1/0")) for user in CUSTOMERS[:50]]
    assert {choice.trial for choice in choices} == {TRIAL.name}
    assert {choice.arm for choice in choices} == {"champion", "challenger"}


def test_without_a_trial_the_champion_decides() -> None:
    choice = split(None).choose("default", "ann", rollout("promoted"))
    assert (choice.filler.policy, choice.arm, choice.trial, choice.shadow) == ("greedy", "champion", "", None)


def test_with_nothing_to_show_there_is_no_first_choice() -> None:
    nothing = Scored([], np.empty((0, 0)), np.empty(0), "prior", 0, None, False)
    assert split().choose("default", "ann", None).first("d-1", nothing) is None


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_that_leaves_one_of_them_nobody_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="one arm alone tells nothing"):
        Trial("greedy", "uniform", share)


def test_a_trial_of_another_champion_is_refused() -> None:
    with pytest.raises(ValueError, match="softmax decides, but the trial is of greedy"):
        LiveSplit(SlotFiller("softmax"), TRIAL)
