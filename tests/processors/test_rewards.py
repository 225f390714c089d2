"""A decision's outcome: what was seen and then redeemed in its time, said once, when that time is over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.offer_history import DECISION_LIFE, DECISIONS
from processors.reward_slots import examination, weight_of
from processors.rewards import OfferRewards
from schemas.events import Click
from schemas.offer_results import OfferExample, RankedOffer, Ranking
from schemas.records import DAY
from streams.task import Task
from tests.builders import HOUR, NOON
from tests.processors.offer_world import click, payment, ranking, record, slot, tables

END = NOON + 5 * DAY
AFTERWARDS = click("view", END + 30 * DAY, user="ann", offer="another")


def said(*messages: Any, rewards: OfferRewards | None = None) -> list[Any]:
    """Return all that is said about these, a month after."""
    task = Task(rewards or OfferRewards(), {}, tables())
    return [each.message for message in (*messages, AFTERWARDS) for each in task.step(record(message))]


def outcomes(*messages: Any) -> list[OfferExample]:
    """Return the examples said about these, without what corrects them."""
    return [each for each in said(*messages) if isinstance(each, OfferExample) and not each.late]


def label(*clicks: Click) -> bool:
    (example,) = outcomes(ranking(), *clicks)
    return example.label


def test_seen_and_then_redeemed_is_a_success() -> None:
    assert label(click("view", NOON + HOUR), click("redemption", NOON + 2 * HOUR))


def test_seen_at_the_moment_of_redeeming_is_a_success() -> None:
    assert label(click("redemption", NOON + HOUR), click("view", NOON + HOUR))


@pytest.mark.parametrize("kinds", [(), ("view",), ("redemption",), ("redemption", "view")])
def test_anything_less_is_none(kinds: tuple[str, ...]) -> None:
    assert not label(*(click(kind, NOON + hours * HOUR) for hours, kind in enumerate(kinds)))


def test_both_ends_of_the_window_belong_to_it() -> None:
    assert label(click("view", NOON), click("redemption", END))
    assert not label(click("view", NOON), click("redemption", END + 1))


def test_clicks_on_another_offer_or_another_decision_do_not_count() -> None:
    assert not label(click("view"), click("redemption", offer="tea"))
    assert not label(click("view"), click("redemption", decision_id="d-2"))


def test_a_click_that_names_the_decision_needs_no_offer() -> None:
    assert label(click("view", offer=None, decision_id="d-1"), click("redemption", offer=None, decision_id="d-1"))


def test_a_click_counts_for_every_decision_it_may_be_about() -> None:
    twice = (ranking(), ranking(NOON + DAY, event_id="d-2", version=4))
    found = outcomes(*twice, click("view", NOON + 2 * DAY), click("redemption", END + HOUR))
    assert [(each.decision, each.label, each.version) for each in found] == [("d-1", False, 3), ("d-2", True, 4)]


def test_nothing_is_said_before_the_window_is_over() -> None:
    task = Task(OfferRewards(), {}, tables())
    for message in (ranking(), click("view"), click("redemption"), click("view", END)):
        assert task.step(record(message)) == []
    (example,) = task.step(record(click("view", END + 1)))
    assert example.message.matured_at == END


def test_a_decision_repeated_is_one() -> None:
    assert len(outcomes(ranking(), ranking(), click("view"))) == 1


def test_what_cannot_be_redeemed_is_not_waited_for() -> None:
    assert outcomes(ranking(NOON, slot(rewarded=False)), click("view"), click("redemption")) == []


def test_other_kinds_of_click_say_nothing() -> None:
    assert not label(click("impression"), click("click"), click("dismiss"))
    assert outcomes(click("redemption")) == []


def test_an_example_tells_the_vector_and_the_version_that_scored() -> None:
    (example,) = outcomes(ranking(NOON, slot(vector=(1.0, None, 3.5))))
    assert example.vector[::2] == (1.0, 3.5)
    assert example.vector[1] != example.vector[1]
    assert (example.model, example.version, example.score, example.propensity) == ("offers", 3, 0.4, 0.1)
    assert (example.event_id, example.decision, example.position, example.policy) == ("d-1/coffee", "d-1", 1, "logged")


def decided(at: int = NOON, *slots: RankedOffer, **changed: Any) -> Ranking:
    """Return a decision of ours with coffee above tea above news, which has nothing to redeem."""
    chosen = slots or (slot(at=at), slot("tea", at), slot("news", at, rewarded=False))
    candidates = ("coffee", "tea", "news", "cake")
    return ranking(at, *chosen, **{"shown": False, "policy": "softmax", "candidates": candidates} | changed)


def impression(offer: str, at: int = NOON + HOUR, **changed: Any) -> Click:
    return click("impression", at, offer=offer, **changed)


def test_only_what_was_shown_is_learned_from() -> None:
    found = outcomes(decided(), impression("tea"), click("view", NOON + HOUR), click("redemption", NOON + 2 * HOUR))
    assert [(each.offer, each.position, each.policy, each.label) for each in found] == [("tea", 2, "softmax", False)]
    assert outcomes(decided()) == outcomes(decided(), impression("news")) == []


def test_the_window_of_a_slot_begins_when_it_is_shown() -> None:
    (example,) = outcomes(decided(), impression("coffee", NOON + DAY))
    assert (example.event_time, example.matured_at) == (NOON + DAY, END + DAY)
    success = (click("view", NOON + DAY), click("redemption", END + DAY))
    assert outcomes(decided(), impression("coffee", NOON + DAY), *success)[0].label
    assert not outcomes(decided(), click("view"), click("redemption"), impression("coffee", NOON + DAY))[0].label


def test_a_slot_shown_twice_or_decided_twice_is_one() -> None:
    assert len(outcomes(decided(), impression("coffee"), decided(), impression("coffee", NOON + 2 * HOUR))) == 1


@pytest.mark.parametrize(
    "strange",
    [
        impression("cake"),
        impression("coffee", decision_id="d-9"),
        impression("coffee", NOON + DECISION_LIFE + 1),
        impression("coffee", NOON - 1),
    ],
    ids=["no slot", "no such decision", "too late", "too early"],
)
def test_an_impression_that_cannot_be_of_the_decision_is_not_learned_from(strange: Click) -> None:
    assert outcomes(decided(), strange) == []


def test_clicks_before_anything_is_known_of_a_customer_keep_nothing() -> None:
    task = Task(OfferRewards(), {}, tables())
    for each in (impression("coffee"), click("view"), click("redemption", decision_id="d-9")):
        task.step(record(each))
    assert task.states == {}


def test_a_click_that_names_the_decision_counts_for_the_offer_it_names() -> None:
    shown = (decided(), impression("coffee"), impression("tea"))
    named = [click(kind, NOON + 2 * HOUR, offer="tea", decision_id="d-1") for kind in ("view", "redemption")]
    assert {each.offer: each.label for each in outcomes(*shown, *named)} == {"coffee": False, "tea": True}


def test_decisions_that_nobody_shows_are_bounded_and_forgotten() -> None:
    task = Task(OfferRewards(), {}, tables())
    for number in range(DECISIONS + 5):
        task.step(record(decided(NOON + number, event_id=f"d-{number}")))
    assert len(task.states["ann"].unshown) == DECISIONS
    task.step(record(click("view", NOON + DECISION_LIFE + HOUR)))
    assert task.states == {}


@pytest.mark.parametrize(
    ("propensity", "candidates", "weight"),
    [(0.1, 10, 1.0), (0.05, 10, 2.0), (0.001, 10, 2.0), (0.9, 10, 0.5), (1.0, 10, 1.0), (1.0, 1, 1.0)],
)
def test_what_is_rarely_shown_weighs_more_within_bounds(propensity: float, candidates: int, weight: float) -> None:
    assert weight_of(propensity, candidates) == pytest.approx(weight)


def test_an_example_tells_whose_policy_decided_in_which_trial() -> None:
    (shown,) = outcomes(decided(NOON, slot(), arm="challenger", trial="a-trial"), impression("coffee"))
    (logged,) = outcomes(ranking())
    assert [(each.arm, each.trial) for each in (shown, logged)] == [("challenger", "a-trial"), ("champion", "")]


def test_a_lower_slot_is_weighed_against_the_candidates_left() -> None:
    shown = decided(NOON, slot(propensity=0.5), slot("tea", propensity=1 / 3))
    found = outcomes(shown, impression("coffee"), impression("tea"))
    assert [each.weight for each in found] == [pytest.approx(0.5), pytest.approx(examination(2))]


def test_not_being_seen_far_down_says_little_against_an_offer() -> None:
    shown = decided(NOON, *(slot(name, propensity=1.0) for name in ("coffee", "tea", "cake")))
    impressions = [impression(name) for name in ("coffee", "tea", "cake")]
    found = outcomes(shown, *impressions, click("view", NOON + DAY, offer="cake", decision_id="d-1"))
    assert {each.offer: each.weight for each in found} == {"coffee": 1.0, "tea": examination(2), "cake": 1.0}
    assert [examination(position) for position in (1, 3)] == [1.0, 0.5]


def test_a_message_of_another_sort_is_a_bug() -> None:
    with pytest.raises(TypeError, match="rewards does not read Transaction"):
        OfferRewards().step(None, record(payment()), {})


@given(clicks=st.lists(st.tuples(st.sampled_from(("view", "redemption")), st.integers(-1, 7 * 24)), max_size=8))
def test_the_label_equals_a_search_over_all_pairs(clicks: list[tuple[str, int]]) -> None:
    def times(wanted: str) -> list[int]:
        return [hours for kind, hours in clicks if kind == wanted and 0 <= hours <= 5 * 24]

    happened = [click(kind, NOON + hours * HOUR) for kind, hours in sorted(clicks, key=lambda each: each[1])]
    before = [each for each in happened if each.time_ms() < NOON]
    (example,) = outcomes(*before, ranking(), *happened[len(before) :])
    assert example.label == any(view <= redeemed for view in times("view") for redeemed in times("redemption"))
