"""Rewards as an operator declares them, through the whole pipeline of offers."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.offer_results import OfferExample, RankerVersion, RewardStray
from schemas.records import DAY, AnyRecord
from streams.assembly import offer_pipeline
from streams.pipeline import Pipeline
from streams.replay import replay
from streams.settings import Settings
from streams.task import Task
from tests.builders import HOUR, NOON
from tests.processors.offer_world import CATALOGUE, click, offer_example, record, world

DECLARED = '{"click": {"weight": 0.5, "wait": "1d"}, "rating": {"weight": 0.5, "wait": "2d", "low": 1, "high": 5}}'


def happened(*days: int) -> list[AnyRecord]:
    """Return a send of `coffee` that is clicked, rated and redeemed, and what else happens so many days later."""
    about = [click("impression"), click("click", NOON + HOUR), click("rating", NOON + DAY, value=4)]
    about += [click("view", NOON + DAY), click("redemption", NOON + 3 * DAY)]
    return [record(each) for each in (*CATALOGUE, *about, *(click("skip", NOON + day * DAY) for day in days))]


def said(pipeline: Pipeline, stream: list[AnyRecord], kind: type) -> list[AnyRecord]:
    return [each for each in replay(pipeline, stream) if isinstance(each.message, kind)]


def test_rewards_are_declared_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REWARDS", DECLARED)
    settings = Settings()
    assert (settings.rewards["click"].wait, settings.rewards["rating"].high) == (DAY, 5.0)
    (example,) = said(offer_pipeline(settings), happened(30), OfferExample)
    assert example.message.reward == pytest.approx(0.5 + 0.5 * 0.75)
    assert example.message.matured_at == NOON + 2 * DAY


def test_rewards_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REWARDS", '{"rating": {"weight": 1}}')
    with pytest.raises(ValidationError, match="a rating needs `low` and a higher `high`"):
        Settings()


@pytest.mark.parametrize(("horizon", "rewards"), [(2 * DAY, [1.0, 0.0]), (DAY, [1.0])])
def test_the_horizon_of_corrections_is_set(horizon: int, rewards: list[float]) -> None:
    back = record(click("reversal", NOON + 7 * DAY))
    found = said(offer_pipeline(Settings(reward_horizon=horizon)), [*happened(6), back], OfferExample)
    assert [each.message.earned for each in found] == rewards


def test_what_finds_no_slot_is_said_by_the_pipeline() -> None:
    stream = [*happened(), record(click("redemption", NOON + 4 * DAY, offer="unheard-of"))]
    (stray,) = said(offer_pipeline(Settings()), stream, RewardStray)
    assert stray.message.reason == "unknown_offer"


@pytest.mark.parametrize(
    ("pace", "published_at"),
    [({"ranker_every": 50}, [200, 250, 300]), ({"ranker_every": 10_000, "ranker_at_most": 60}, [200, 260, 320])],
)
def test_the_pace_of_the_ranker_is_set(pace: dict[str, Any], published_at: list[int]) -> None:
    task = Task(offer_pipeline(Settings(**pace)).processors[-1], {}, {})
    versions = [each.message for number in range(330) for each in task.step(record(offer_example(number)))]
    assert [version.examples for version in versions] == published_at


@pytest.mark.parametrize("learns", [True, False])
def test_whether_corrections_are_learned_is_set(learns: bool) -> None:
    *_, last = said(offer_pipeline(Settings(correct_rewards=learns, ranker_every=20)), world(), RankerVersion)
    assert (last.message.metrics["corrections"] > 0) is learns
