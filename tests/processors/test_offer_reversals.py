"""A reversal takes a redemption back: what it had cost, and what it had taken of the customer's own limits."""

from math import isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert
from msgspec.structs import astuple

from processors.base import Tables
from processors.eligibility import Refusal
from processors.offer_context import context_values
from processors.offer_history import CHARGES
from processors.offer_tallies import Shown
from processors.offers import OfferRanker
from schemas.events import Click
from schemas.offer_results import OfferEvent, OfferUsage, Ranking
from schemas.offer_topics import OFFER_EVENTS
from schemas.records import DAY
from schemas.topics import OFFERS
from streams.replay import Replay
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON, verified
from tests.processors.offer_world import asking_world, click, offer, payment, pipeline, profile, record, request, tables

DEAR = tables(offer(cost="2.5", reward_unit="EUR"), offer("tea", cost="4"))


def task(known: Tables = DEAR, **settings: Any) -> Task:
    return Task(OfferRanker(verified, **settings), {}, known)


def taken(hours: int = 1, decision: str | None = "d-1", **changed: Any) -> Click:
    return click("redemption", NOON + hours * HOUR, decision_id=decision, **changed)


def back(hours: int = 5, decision: str | None = "d-1", **changed: Any) -> Click:
    return click("reversal", NOON + hours * HOUR, decision_id=decision, **changed)


def told(*clicks: Click, ranker: Task | None = None) -> list[OfferEvent]:
    """Return what is told of redemptions, and of those taken back, by a customer who was shown both offers."""
    ranker = ranker or task()
    shown = [click("impression", offer=name, event_id=f"shown-{name}") for name in ("coffee", "tea")]
    said = [each for message in (*shown, *clicks) for each in ranker.step(record(message))]
    events = [each.message for each in said if each.topic is OFFER_EVENTS]
    return [event for event in events if event.kind in ("redemption", "reversal")]


def test_a_reversal_says_which_redemption_it_takes_back_and_what_that_had_cost() -> None:
    redemption, reversal = told(taken(), back())
    assert (redemption.kind, reversal.kind) == ("redemption", "reversal")
    assert (reversal.offer, reversal.user, reversal.decision) == ("coffee", "ann", "d-1")
    assert (reversal.cost, reversal.unit) == (redemption.cost, redemption.unit) == (2.5, "EUR")
    assert (reversal.event_id, reversal.event_time) == (f"reversal-{NOON + 5 * HOUR}", NOON + 5 * HOUR)


def test_what_an_offer_costs_by_now_is_not_what_is_given_back() -> None:
    catalogue = dict(DEAR[OFFERS])
    ranker = task({**DEAR, OFFERS: catalogue})
    told(taken(), ranker=ranker)
    catalogue["coffee"] = offer(cost="99", reward_unit="USD")
    (said,) = ranker.step(record(back()))
    assert (said.message.cost, said.message.unit) == (2.5, "EUR")
    del catalogue["coffee"]
    assert ranker.step(record(back(6))) == []


def test_what_has_left_the_catalogue_is_redeemed_at_the_cost_it_was_shown_with_and_given_back() -> None:
    catalogue = dict(DEAR[OFFERS])
    ranker = task({**DEAR, OFFERS: catalogue})
    told(ranker=ranker)
    gone = catalogue.pop("coffee")
    (view,), (redemption,) = (ranker.step(record(each)) for each in (click("view", NOON + HOUR), taken(2)))
    assert [(each.message.kind, each.message.cost, each.message.unit) for each in (view, redemption)] == [
        ("view", 0.0, "EUR"),
        ("redemption", 2.5, "EUR"),
    ]
    assert ranker.states["ann"].history.had["coffee"].redemptions == 1
    catalogue["coffee"] = gone
    (said,) = ranker.step(record(back()))
    assert (said.message.kind, said.message.cost, said.message.unit) == ("reversal", 2.5, "EUR")
    assert ranker.states["ann"].history.had["coffee"].redemptions == 0


@pytest.mark.parametrize(
    "reversal",
    [
        back(),
        back(decision=None),
        back(offer=None),
        back(hours=1),
    ],
    ids=["of the decision", "of the offer", "of the decision alone", "at the same moment"],
)
def test_a_reversal_is_of_the_decision_it_names_or_else_of_its_offer(reversal: Click) -> None:
    assert [each.kind for each in told(taken(), reversal)] == ["redemption", "reversal"]


@pytest.mark.parametrize(
    "reversal",
    [
        back(decision="d-2"),
        back(offer="tea"),
        back(decision=None, offer="tea"),
        back(decision=None, offer=None),
        back(hours=0),
    ],
    ids=["another decision", "another offer of it", "another offer", "nothing named", "before it"],
)
def test_a_reversal_of_what_was_never_redeemed_gives_nothing(reversal: Click) -> None:
    assert [each.kind for each in told(taken(), reversal)] == ["redemption"]


def test_a_redemption_is_given_back_once() -> None:
    assert [each.kind for each in told(taken(), back(), back(), back(6), taken(7), back(8), back())] == [
        *("redemption", "reversal"),
        *("redemption", "reversal"),
    ]


def test_a_reversal_takes_back_all_that_was_redeemed_until_then_of_what_it_is_about() -> None:
    clicks = [taken(1), taken(2), taken(3, offer="tea"), taken(9)]
    assert [each.cost for each in told(*clicks, back())[len(clicks) :]] == [2.5, 2.5]
    assert [each.cost for each in told(*clicks, back(offer=None))[len(clicks) :]] == [2.5, 2.5, 4.0]


moments = st.lists(
    st.tuples(
        st.sampled_from(("redemption", "redemption", "reversal")),
        st.sampled_from((("coffee", None), ("coffee", "d-1"), ("tea", None), ("tea", "d-1"), (None, "d-1"))),
        st.integers(0, 20),
    ),
    max_size=25,
).map(lambda clicks: sorted(clicks, key=lambda each: each[2]))

Clicked = tuple[str, tuple[str | None, str | None], int]


def taken_back(after: list[tuple[str, int]]) -> bool:
    return any(kind == "reversal" for kind, _ in after)


def meant(clicks: list[Clicked]) -> list[tuple[str, tuple[str, ...], int]]:
    """Return of which offers each click is.

    Tea was shown last, and is redeemed first where neither is named, unless what was redeemed of it stands.
    """
    redeemed, found = set[str](), []
    for kind, (name, _), hour in clicks:
        offers = ("tea", "coffee") if name is None else (name,)
        if kind == "redemption":
            offers = (next((offer for offer in offers if offer not in redeemed), offers[0]),)
            redeemed.update(offers)
        else:
            redeemed.difference_update(offers)
        found.append((kind, offers, hour))
    return found


@given(moments)
def test_what_is_left_is_what_no_later_reversal_is_about(clicks: list[Clicked]) -> None:
    ranker = task()
    said = told(
        *(
            click(kind, NOON + hour * HOUR, offer=name, decision_id=decision, event_id=f"c-{n}")
            for n, (kind, (name, decision), hour) in enumerate(clicks)
        ),
        ranker=ranker,
    )
    for name, cost in (("coffee", 2.5), ("tea", 4.0)):
        of = [(kind, hour) for kind, offers, hour in meant(clicks) if name in offers]
        left = [hour for n, (kind, hour) in enumerate(of) if kind == "redemption" and not taken_back(of[n:])]
        kept = [each.cost if each.kind == "redemption" else -each.cost for each in said if each.offer == name]
        assert sum(kept) == len(left) * cost
        had = ranker.states["ann"].history.had.get(name)
        assert (0 if had is None else had.redemptions) == len(left)
        assert (None if had is None else had.redeemed_at) == max((NOON + at * HOUR for at in left), default=None)


def rates(ranker: Task) -> dict[str, tuple[int, int]]:
    """Return how many impressions were redeemed after a view and without one, by what they are told apart by."""
    context = ranker.states["ann"]
    tallies = {"all": context.whole, **context.tallies}
    return {name: (each.redemptions, each.blind) for name, each in tallies.items()}


@given(moments)
def test_an_impression_is_redeemed_while_one_of_its_redemptions_stands(clicks: list[Clicked]) -> None:
    ranker = task()
    said = [
        click(kind, NOON + hour * HOUR, offer=name, decision_id=decision, event_id=f"c-{n}")
        for n, (kind, (name, decision), hour) in enumerate(clicks)
    ]
    told(*said, ranker=ranker)
    standing = {each.offer for each in ranker.states["ann"].history.charges}
    found = rates(ranker)
    assert found["all"] == (0, len(standing))
    assert all(found[f"offer {name}"] == (0, int(name in standing)) for name in ("coffee", "tea"))


def test_rates_are_those_of_a_customer_who_never_redeemed_what_was_taken_back() -> None:
    viewed = click("view", NOON + HOUR // 2, decision_id="d-1")
    once, never, again = task(), task(), task()
    told(viewed, taken(1), back(), ranker=once)
    told(viewed, ranker=never)
    told(viewed, taken(1), back(), taken(6), ranker=again)
    assert rates(once) == rates(never)
    assert rates(again)["all"] == rates(again)["offer coffee"] == (1, 0)
    values = [context_values(each.states["ann"], NOON + DAY) for each in (once, never, again)]
    assert str(values[0]) == str(values[1]) != str(values[2])


def test_what_was_redeemed_before_it_was_seen_is_taken_back_as_that() -> None:
    ranker = task()
    viewed = click("view", NOON + 2 * HOUR, decision_id="d-1")
    told(taken(1), viewed, ranker=ranker)
    assert rates(ranker)["all"] == (0, 1)
    ranker.step(record(back()))
    assert rates(ranker)["all"] == (0, 0)


def test_the_last_redemption_that_stands_is_the_last_one() -> None:
    ranker = task()
    told(taken(1), taken(3, offer="tea"), back(5, offer="tea"), ranker=ranker)
    assert ranker.states["ann"].redeemed_at == NOON + HOUR
    ranker.step(record(back(6)))
    assert isnan(ranker.states["ann"].redeemed_at)


def test_what_names_a_decision_alone_is_counted_for_the_offer_that_it_is_said_of() -> None:
    ranker = task()
    said = told(taken(1, offer=None), taken(2, offer=None), ranker=ranker)
    assert [each.offer for each in said] == ["tea", "coffee"]
    had = ranker.states["ann"].history.had
    assert {name: (each.redemptions, each.redeemed_at) for name, each in had.items()} == {
        "tea": (1, NOON + HOUR),
        "coffee": (1, NOON + 2 * HOUR),
    }


def refused(at: int, *clicks: Click, **limit: Any) -> Refusal | None:
    ranker = task(tables(offer(**limit)))
    said = [
        each for message in (click("impression"), *clicks, request("d-9", at)) for each in ranker.step(record(message))
    ]
    assert isinstance(said[-1].message, Ranking)
    return said[-1].message.refused.get("coffee")  # type: ignore[return-value]


def test_a_redemption_taken_back_leaves_the_customer_as_many_as_before() -> None:
    twice = {"most_per_customer": 2}
    assert refused(NOON + DAY, taken(1), taken(2), **twice) == "customer_cap"
    assert refused(NOON + DAY, taken(1), back(1), taken(2), **twice) is None


def test_the_cool_down_is_that_of_the_last_redemption_that_stands() -> None:
    week = {"cool_down_days": 7}
    last = taken(48, decision=None, offer="coffee")
    assert refused(NOON + 8 * DAY, taken(1), last, **week) == "cool_down"
    assert refused(NOON + 8 * DAY, taken(1), last, back(50), **week) is None
    second = click("impression", NOON + 40 * HOUR, decision_id="d-2", event_id="second")
    assert refused(NOON + 8 * DAY, taken(1), second, taken(48, "d-2"), back(50, "d-2"), **week) is None
    assert refused(NOON + 6 * DAY, taken(1), second, taken(48, "d-2"), back(50, "d-2"), **week) == "cool_down"


def test_only_the_newest_redemptions_can_be_taken_back_and_no_cool_down_ends_for_the_others() -> None:
    ranker = task()
    clicks = [taken(n, decision=None, event_id=f"c-{n}") for n in range(CHARGES + 3)]
    said = told(*clicks, back(CHARGES + 9, decision=None), ranker=ranker)
    assert sum(each.kind == "reversal" for each in said) == CHARGES
    had = ranker.states["ann"].history.had["coffee"]
    assert (had.redemptions, had.redeemed_at) == (3, NOON + (CHARGES + 2) * HOUR)


def test_a_reversal_is_an_event_of_the_customers_own_and_is_followed_by_a_ranking() -> None:
    ranker = task(throttle=HOUR)
    (ranking,) = (each.message for each in ranker.step(record(back())) if isinstance(each.message, Ranking))
    assert (ranking.trigger, ranking.event_id) == ("event", back().event_id)


def test_a_context_restored_takes_back_what_was_redeemed_before() -> None:
    ranker, codec = task(), state_codec(OfferRanker(verified))
    told(taken(), ranker=ranker)
    ranker.states["ann"] = codec.decode(codec.encode(ranker.states["ann"]))
    assert [each.message.cost for each in ranker.step(record(back()))] == [2.5]


def test_an_impression_from_before_its_cost_was_kept_costs_nothing_once_its_offer_is_gone() -> None:
    catalogue = dict(DEAR[OFFERS])
    ranker = task({**DEAR, OFFERS: catalogue})
    told(ranker=ranker)
    context = ranker.states["ann"]
    context.shown = [convert(astuple(shown)[:10], Shown) for shown in context.shown]
    del catalogue["coffee"]
    said = [each.message for message in (taken(), back()) for each in ranker.step(record(message))]
    assert [(each.kind, each.cost, each.unit) for each in said] == [("redemption", 0.0, ""), ("reversal", 0.0, "")]


def test_a_context_from_before_redemptions_were_remembered_gives_nothing_back() -> None:
    ranker = task()
    for message in (profile(), payment(), click("impression"), taken()):
        ranker.step(record(message))
    ranker.states["ann"].history.charges = []
    assert ranker.step(record(back())) == []
    assert ranker.states["ann"].history.had["coffee"].redemptions == 1


def test_a_count_that_was_kept_below_none_takes_no_limit_from_an_offer() -> None:
    ranker = task(tables(offer(most_per_customer=1)))
    for message in (click("impression"), taken(1)):
        ranker.step(record(message))
    had = ranker.states["ann"].history.had["coffee"]
    had.redemptions = 0
    ranker.step(record(back(2)))
    assert (had.redemptions, had.redeemed_at) == (0, None)
    had.redemptions = -1
    ranker.step(record(taken(3)))
    (answer,) = ranker.step(record(request("d-9", NOON + DAY)))
    assert answer.message.refused == {"coffee": "customer_cap"}


def test_all_that_was_redeemed_of_an_offer_is_what_each_customer_had_of_it() -> None:
    engine = Replay(pipeline())
    said = [each.message for one in asking_world() for each in engine.step(one)]
    newest = {each.offer: each for each in said if isinstance(each, OfferUsage)}
    customers = [context.history for context in engine.tasks["offers"].states.values()]
    for name, usage in newest.items():
        assert usage.redemptions == sum(each.had[name].redemptions for each in customers if name in each.had)
        charged = [charge.cost for each in customers for charge in each.charges if charge.offer == name]
        assert usage.spent == pytest.approx(sum(charged))
    assert sum(usage.reversals for usage in newest.values()) > 5
