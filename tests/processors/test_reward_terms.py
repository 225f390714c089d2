"""Declared rewards, late ones, reversals and strays: what comes of a slot, whenever and in whatever order."""

from collections.abc import Iterable
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple
from pydantic import TypeAdapter, ValidationError

from processors.reward_terms import DeclaredTerms
from processors.rewards import CORRECTABLE, OfferRewards
from schemas.errors import BadMessage
from schemas.events import Click
from schemas.offer_results import OfferExample, RewardStray
from schemas.records import DAY
from schemas.topics import CLICKS
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON
from tests.processors.offer_world import click, offer, ranking, record, slot, tables

END = NOON + 5 * DAY
HORIZON = 7 * DAY
SHOP = {
    "click": {"weight": 0.2, "wait": "1d"},
    "dismiss": {"weight": -0.5, "wait": "1d"},
    "purchase": {"weight": 0.6, "wait": "3d"},
    "rating": {"weight": 0.4, "wait": "4d", "default": 0.5, "low": 1, "high": 5},
}


def terms(declared: dict[str, Any]) -> DeclaredTerms:
    return TypeAdapter(DeclaredTerms).validate_python(declared)


def said(clicks: Iterable[Click], declared: dict[str, Any] | None = None, horizon: int = HORIZON) -> list[Any]:
    """Return all that is said of `coffee`, shown at noon, by two months later."""
    task = Task(OfferRewards(terms(declared or {}), horizon), {}, tables())
    messages = (ranking(), *clicks, click("view", NOON + 60 * DAY, user="ann", offer="another"))
    return [each.message for message in messages for each in task.step(record(message))]


def rewards(clicks: Iterable[Click], declared: dict[str, Any] | None = None, horizon: int = HORIZON) -> list[float]:
    """Return the rewards said of `coffee`: the first, then what corrects it."""
    return [each.earned for each in said(clicks, declared, horizon) if isinstance(each, OfferExample)]


def days(kind: str, at: float, **changed: Any) -> Click:
    """Return a click so many days after noon."""
    return click(kind, NOON + round(at * DAY), **changed)


SEEN = days("view", 1)


@pytest.mark.parametrize(
    ("clicks", "reward"),
    [
        ([], 0.2),
        ([days("click", 0.5)], 0.4),
        ([days("click", 0.5), days("purchase", 2)], 1.0),
        ([days("purchase", 3)], 0.8),
        ([days("dismiss", 0.1)], 0.0),
        ([days("rating", 1, value=5)], 0.4),
        ([days("rating", 1, value=2)], 0.1),
        ([days("rating", 1, value=-7)], 0.0),
        ([days("wishlist", 1), days("activation", 1), days("skip", 1)], 0.2),
    ],
)
def test_what_comes_in_its_time_adds_up_by_declared_weights(clicks: list[Click], reward: float) -> None:
    assert rewards(clicks, SHOP)[0] == pytest.approx(reward)


def test_an_example_is_said_when_the_longest_wait_is_over() -> None:
    (example,) = said([], SHOP)
    assert example.matured_at == NOON + 4 * DAY
    (redeemable,) = said([], {"click": {"weight": 1, "wait": "1d"}, "redemption": {"weight": 1}})
    assert redeemable.matured_at == END


def test_a_reward_that_is_the_label_is_not_told_twice() -> None:
    first, *_ = said([SEEN, days("redemption", 2)])
    assert (first.label, first.reward, first.earned) == (True, None, 1.0)


def test_the_label_is_of_views_and_redemptions_whatever_is_declared() -> None:
    first, *_ = said([SEEN, days("redemption", 2), days("click", 0.5)], SHOP)
    assert (first.label, first.reward) == (True, pytest.approx(0.4))


@pytest.mark.parametrize(("aggregate", "reward"), [("first", 0.25), ("last", 0.5), ("max", 1.0)])
def test_of_several_ratings_the_declared_one_counts(aggregate: str, reward: float) -> None:
    declared = {"rating": {"weight": 1, "wait": "4d", "low": 1, "high": 5, "aggregate": aggregate}}
    ratings = [days("rating", at, value=value) for at, value in ((1, 2), (2, 5), (3, 3))]
    assert {tuple(rewards(order, declared)) for order in permutations(ratings)} == {(reward,)}


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({"click": {"weight": 1.1}}, "less than or equal to 1"),
        ({"click": {"weight": 1, "wait": "soon"}}, "is no duration"),
        ({"click": {"weight": 1, "low": 0, "high": 1}}, "click has no value to scale"),
        ({"rating": {"weight": 1}}, "a rating needs `low` and a higher `high`"),
        ({"rating": {"weight": 1, "low": 5, "high": 5}}, "a rating needs `low` and a higher `high`"),
        ({"impression": {"weight": 1}}, "Input should be 'view'"),
        ({"click": {"weight": 1, "delay": "1d"}}, "Extra inputs are not permitted"),
    ],
)
def test_terms_that_cannot_be_are_refused_with_the_reason(declared: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        terms(declared)


def test_a_late_reward_corrects_the_example() -> None:
    first, second = said([SEEN, click("redemption", END + DAY)])
    assert (first.late, first.earned, first.before) == (False, 0.0, None)
    assert (second.late, second.earned, second.before) == (True, 1.0, 0.0)
    assert (second.event_id, second.vector[0], second.weight) == (first.event_id, first.vector[0], first.weight)
    assert (second.event_time, second.matured_at) == (NOON, END + DAY)
    assert not second.label


def test_a_reward_is_late_up_to_the_horizon_and_then_a_stray() -> None:
    assert rewards([SEEN, click("redemption", END + HORIZON)]) == [0.0, 1.0]
    *_, stray = said([SEEN, click("redemption", END + HORIZON + 1)])
    assert (stray.reason, stray.kind, stray.offer) == ("never_shown", "redemption", "coffee")


def test_without_a_horizon_nothing_is_corrected() -> None:
    late = [SEEN, click("redemption", END + 1), days("redemption", 3)]
    assert rewards(late[:2], horizon=0) == [0.0]
    assert rewards([late[0], late[2], click("reversal", END + 1)], horizon=0) == [1.0]


def test_what_comes_after_its_own_wait_is_late_though_others_are_waited_for() -> None:
    first, second = said([days("click", 2)], SHOP)
    assert (first.earned, second.earned) == (pytest.approx(0.2), pytest.approx(0.4))
    assert first.matured_at == second.matured_at == NOON + 4 * DAY


def test_each_kind_is_late_up_to_the_horizon_after_its_own_wait() -> None:
    assert len(rewards([days("click", 2)], SHOP, horizon=DAY)) == 2
    stray, example = said([click("click", NOON + 2 * DAY + 1)], SHOP, horizon=DAY)
    assert (stray.reason, example.earned) == ("out_of_time", pytest.approx(0.2))


def test_a_redemption_may_be_in_time_for_the_label_and_too_late_for_the_reward() -> None:
    declared = {"redemption": {"weight": 1, "wait": "1h"}, "purchase": {"weight": 0.5}}
    (example,) = said([SEEN, days("redemption", 3)], declared, horizon=HOUR)
    assert (example.label, example.earned) == (True, 0.0)


def test_a_click_behind_its_time_corrects_too() -> None:
    clicks = [SEEN, click("view", END + HOUR, offer="tea"), days("redemption", 2)]
    first, second = said(clicks)
    assert (first.label, second.label, second.reward, second.before) == (False, True, None, 0.0)
    assert second.matured_at == END


def test_what_corrects_is_never_known_before_what_it_corrects() -> None:
    examples = said([days("rating", 9, value=5), days("click", 3)], SHOP)
    assert [each.matured_at for each in examples] == [NOON + 4 * DAY, NOON + 9 * DAY, NOON + 9 * DAY]
    assert [each.before for each in examples[1:]] == [each.earned for each in examples[:2]]


def test_a_ranking_repeated_after_its_example_is_not_waited_for_again() -> None:
    clicks = [SEEN, click("view", END + HOUR, offer="tea")]
    task = Task(OfferRewards(), {}, tables())
    found = [each.message for message in (ranking(), *clicks, ranking()) for each in task.step(record(message))]
    assert len(found) == 1
    assert task.states["ann"].open == []


def test_a_late_click_counts_once_and_for_nothing_where_it_is_in_time_for_another() -> None:
    sends = [ranking(NOON + n * DAY, slot(at=NOON + n * DAY), event_id=f"d-{n}") for n in (2, 4)]
    in_time = said([sends[0], SEEN, click("view", END), sends[1], click("redemption", END + HOUR, decision_id=None)])
    assert [(each.decision, each.earned) for each in in_time if each.late] == []
    too_late = said([*sends, click("view", NOON + 4 * DAY), click("redemption", NOON + 10 * DAY)])
    assert [(each.decision, each.earned) for each in too_late if each.late] == [("d-4", 1.0)]
    named = said([*sends, click("view", NOON + 4 * DAY), click("redemption", NOON + 10 * DAY, decision_id="d-2")])
    assert [(each.decision, each.earned) for each in named if each.late] == [("d-2", 1.0)]


def test_a_late_click_that_changes_no_reward_says_nothing() -> None:
    assert rewards([SEEN, days("redemption", 2), click("redemption", END + DAY), click("view", END + DAY)]) == [1.0]


def test_the_same_click_twice_changes_nothing() -> None:
    clicks = [SEEN, days("redemption", 2), click("reversal", END + HOUR), click("redemption", END + DAY)]
    twice = [each for each in clicks for _ in range(2)]
    assert rewards(twice) == rewards(clicks) == [1.0, 0.0, 1.0]


def test_a_reversal_in_time_only_leaves_the_reward_uncounted() -> None:
    assert rewards([SEEN, days("redemption", 2), days("reversal", 3)]) == [0.0]
    assert rewards([SEEN, days("redemption", 2), days("reversal", 2)]) == [0.0]
    assert rewards([days("purchase", 2), days("reversal", 3.5)], SHOP) == [pytest.approx(0.2)]


def test_a_reversal_afterwards_corrects_the_example() -> None:
    first, second = said([SEEN, days("redemption", 2), click("reversal", END + 2 * DAY, offer=None, decision_id="d-1")])
    assert (first.earned, second.earned, second.before, second.late) == (1.0, 0.0, 1.0, True)
    assert (first.label, second.label) == (True, False)
    assert rewards([days("purchase", 2), days("reversal", 9)], SHOP) == [pytest.approx(0.8), pytest.approx(0.2)]


def test_what_is_redeemed_after_a_reversal_counts() -> None:
    assert rewards([SEEN, days("redemption", 2), days("reversal", 3), days("redemption", 4)]) == [1.0]


def test_a_reversal_takes_back_nothing_but_what_can_be_taken_back() -> None:
    assert rewards([days("click", 0.5), days("reversal", 0.6)], SHOP) == [pytest.approx(0.4)]


@pytest.mark.parametrize(
    ("stray", "reason"),
    [
        (days("redemption", 1, offer=None), "no_decision"),
        (days("redemption", 1, offer="unheard-of"), "unknown_offer"),
        (days("redemption", 1, offer="tea"), "never_shown"),
        (days("redemption", 1, offer="tea", decision_id="d-1"), "never_shown"),
        (days("redemption", 1, decision_id="d-9"), "unknown_decision"),
        (days("redemption", 1, offer=None, decision_id="d-9"), "unknown_decision"),
        (days("redemption", -1), "never_shown"),
        (days("reversal", 1, offer="tea"), "never_shown"),
    ],
)
def test_what_earns_nothing_says_why(stray: Click, reason: str) -> None:
    task = Task(OfferRewards(), {}, tables(offer("coffee"), offer("tea")))
    messages = (stray, ranking()) if stray.time_ms() < NOON else (ranking(), stray)
    (found,) = [each.message for message in messages for each in task.step(record(message))]
    assert isinstance(found, RewardStray)
    assert (found.reason, found.event_id, found.event_time) == (reason, stray.event_id, stray.time_ms())
    assert (found.user, found.kind, found.offer) == ("ann", stray.kind, stray.offer or "")


def test_a_rating_without_a_number_says_so() -> None:
    stray, example = said([days("rating", 1), click("view", END)], SHOP)
    assert (stray.reason, example.earned) == ("no_value", pytest.approx(0.2))


def test_what_came_before_it_was_shown_is_out_of_time() -> None:
    stray, _ = said([days("redemption", -0.1)])
    assert stray.reason == "out_of_time"


def test_what_earns_nothing_anyway_is_no_stray() -> None:
    assert said([days("view", 1, offer="tea"), days("click", 1, offer="tea"), days("skip", 1)])[0].late is False


def test_a_kind_of_click_that_nobody_knows_is_a_bad_message() -> None:
    with pytest.raises(BadMessage, match="kind"):
        CLICKS.decode(b'{"event_id":"a","event_time":1,"user":"ann","kind":"applause","offer":"coffee"}')


def test_what_may_be_corrected_is_bounded_and_forgotten() -> None:
    task = Task(OfferRewards(), {}, tables())
    for n in range(CORRECTABLE + 8):
        task.step(record(ranking(NOON + n, event_id=f"d-{n}")))
    task.step(record(click("view", END + DAY, offer="tea")))
    assert [each.decision for each in task.states["ann"].said] == [f"d-{n}" for n in range(8, CORRECTABLE + 8)]
    task.step(record(click("view", END + 8 * DAY, offer="tea")))
    assert task.states == {}


def test_a_state_kept_before_there_were_terms_is_read_as_it_was_meant() -> None:
    task = Task(OfferRewards(), {}, tables())
    for message in (ranking(), SEEN, days("redemption", 2)):
        task.step(record(message))
    (kept,) = task.states.values()
    old = [kept.due, kept.tenant, kept.user, [astuple(kept.open[0])[:15]]]
    restored = state_codec(OfferRewards()).decode(msgspec.msgpack.encode(old))
    assert (restored.open[0].label, restored.said, restored.open[0].told) == (True, [], None)


KINDS = ("view", "redemption", "purchase", "click", "rating", "reversal")
TERMS = {
    "click": {"weight": 0.3, "wait": "1d"},
    "redemption": {"weight": 0.5, "wait": "2d"},
    "purchase": {"weight": -0.4},
    "rating": {"weight": 0.6, "wait": "3d", "default": 0.25, "low": 0, "high": 4, "aggregate": "max"},
}
HAPPENED = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 13 * 24), st.integers(0, 4)), max_size=9)


def naive(happened: list[tuple[str, int, int]], declared: dict[str, Any], through: int) -> float:
    """Return the reward by what came within each wait and `through` more hours, from all that happened."""

    def within(kind: str, hours: int) -> list[tuple[int, int]]:
        return [(at, value) for each, at, value in happened if each == kind and at <= hours + through]

    reversed_at = max((at for kind, at, _ in happened if kind == "reversal"), default=-1)
    if not declared:
        redeemed = [at for at, _ in within("redemption", 5 * 24) if at > reversed_at]
        return float(any(seen <= at for seen, _ in within("view", 5 * 24) for at in redeemed))
    total = 0.0
    for kind, term in declared.items():
        came = within(kind, int(term.get("wait", "5d")[0]) * 24)
        if kind in ("redemption", "purchase"):
            came = [(at, value) for at, value in came if at > reversed_at]
        worth = max((value / 4 for _, value in came), default=0.0) if kind == "rating" else 1.0
        total += term["weight"] * (worth if came else term.get("default", 0.0))
    return min(max(total, 0.0), 1.0)


@given(happened=HAPPENED, declared=st.sampled_from(({}, TERMS)), data=st.data())
def test_the_last_reward_said_is_that_of_all_that_happened_whatever_its_order(
    happened: list[tuple[str, int, int]], declared: dict[str, Any], data: st.DataObject
) -> None:
    horizon = 8 * DAY
    in_order = [click(kind, NOON + hours * HOUR, value=value) for kind, hours, value in sorted(happened, key=at_hour)]
    *_, last = rewards(in_order, declared, horizon)
    assert last == pytest.approx(naive(happened, declared, 8 * 24))
    assert rewards(data.draw(st.permutations(in_order)), declared, horizon)[-1] == last


@given(happened=HAPPENED, declared=st.sampled_from(({}, TERMS)))
def test_the_first_reward_said_knows_nothing_of_what_came_after_its_wait(
    happened: list[tuple[str, int, int]], declared: dict[str, Any]
) -> None:
    in_order = [click(kind, NOON + hours * HOUR, value=value) for kind, hours, value in sorted(happened, key=at_hour)]
    by_then = [each for each in happened if each[1] <= 5 * 24]
    assert rewards(in_order, declared)[0] == pytest.approx(naive(by_then, declared, 0))


def at_hour(each: tuple[str, int, int]) -> int:
    return each[1]
