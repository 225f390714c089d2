"""What analysts see of challengers and of a model that imitates the rules, on the real engine."""

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.offer_results import Agreement, FirstChoice
from tests.contracts.results import NOON, offer_example, ranking, rollout
from tests.sinks.analysts import DAY, keep, rows

TRIAL = "greedy/thompson/0.1/0"
COFFEE, TEA = (FirstChoice(policy="greedy", offer=offer, propensity=0.5) for offer in ("coffee", "tea"))


def test_who_ended_a_trial_when_and_why_is_kept(client: Any) -> None:
    fields: dict[str, Any] = {
        "state": "rolled_back",
        "decided_at": NOON,
        "by": "ann",
        "why": "too dear",
        "order": "o-1",
    }
    keep(client, rollout(1, champion_mean=None), rollout(2), rollout(2), rollout(3, **fields))
    asked = "SELECT event_id, state, champion_mean, decided_at, by, why, order FROM v_rollouts ORDER BY event_id"
    noon = datetime.fromtimestamp(NOON / 1_000, UTC).replace(tzinfo=None)
    assert rows(client, asked) == [
        ("offers@1", "running", None, None, "", "", ""),
        ("offers@2", "running", 0.3, None, "", "", ""),
        ("offers@3", "rolled_back", 0.3, noon, "ann", "too dear", "o-1"),
    ]


def test_how_often_both_arms_would_have_put_the_same_on_top(client: Any) -> None:
    trial: dict[str, Any] = {"trial": TRIAL, "arm": "challenger"}
    keep(client, ranking("d1", shadow=COFFEE, **trial), ranking("d2", shadow=TEA, user="bob", **trial), ranking("d3"))
    asked = "SELECT trial, arm, decisions, customers, same_on_top FROM trial_choices_by_day"
    assert rows(client, asked) == [(TRIAL, "challenger", 2, 2, 0.5)]


def test_how_far_an_apprentice_agrees_by_day(client: Any) -> None:
    told = [Agreement(version=3, top=True, pairs=0.75), Agreement(version=4, top=False, pairs=None)]
    keep(client, *(ranking(f"d{n}", agreement=each) for n, each in enumerate(told)), ranking("d3"))
    keep(client, ranking("d4", agreement=Agreement(version=5, top=True, pairs=1.0), event_time=NOON + DAY))
    asked = "SELECT model, decisions, newest_version, same_on_top, pairs FROM apprentice_agreement ORDER BY day"
    assert rows(client, asked) == [("offers", 2, 4, 0.5, 0.75), ("offers", 1, 5, 1.0, 1.0)]


def test_a_reward_tells_its_arm_and_what_came_before_trials_is_the_champions(client: Any) -> None:
    keep(client, offer_example("d1"), offer_example("d2", arm="challenger", trial=TRIAL))
    asked = "SELECT arm, trial FROM v_rewards ORDER BY event_id"
    assert rows(client, asked) == [("champion", ""), ("challenger", TRIAL)]
    keep(client, ranking())
    assert rows(client, "SELECT arm, trial, shadow.offer, agreement.version FROM v_rankings") == [
        ("champion", "", "", 0)
    ]


@pytest.mark.parametrize("view", ["trial_choices_by_day", "apprentice_agreement"])
def test_where_nothing_is_tried_nothing_is_told(client: Any, view: str) -> None:
    keep(client, ranking())
    assert rows(client, f"SELECT * FROM {view}") == []
