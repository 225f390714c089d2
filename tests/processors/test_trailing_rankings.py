"""Rankings after a customer's own events: at once or when the last one is old enough, the same replayed as lived."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.base import Tables
from processors.offer_history import DECISIONS, UNASKED
from processors.offers import OfferRanker
from schemas.offer_results import Ranking
from schemas.records import DAY
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON, verified
from tests.processors.offer_world import CATALOGUE, click, offer, payment, profile, record, request, tables

MINUTE = 60_000


def task(known: Tables | None = None, throttle: int = MINUTE) -> Task:
    return Task(OfferRanker(verified, throttle=throttle), {}, known or tables(*CATALOGUE))


def said(*messages: Any, known: Tables | None = None, throttle: int = MINUTE) -> list[Ranking]:
    ranker = task(known, throttle)
    spoken = [each.message for message in messages for each in ranker.step(record(message))]
    return [each for each in spoken if isinstance(each, Ranking)]


def made(*messages: Any, throttle: int = MINUTE) -> list[tuple[str, int, str]]:
    """Return the decision, the time since noon and the trigger of each ranking."""
    rankings = said(*messages, throttle=throttle)
    return [(each.event_id, each.event_time - NOON, each.trigger) for each in rankings]


@pytest.mark.parametrize("event", [payment(), profile(), click("view"), click("redemption"), click("dismiss")])
def test_an_event_of_the_customers_own_is_followed_by_a_ranking_of_the_catalogue(event: Any) -> None:
    (ranking,) = said(event)
    assert (ranking.event_id, ranking.event_time, ranking.user) == (event.event_id, NOON, "ann")
    assert (ranking.trigger, ranking.shown, len(ranking.slots)) == ("event", False, 3)
    assert ranking.candidates == ("beans", "cake", "coffee", "news")


def test_an_impression_is_nothing_that_the_customer_did() -> None:
    assert [ranking.shown for ranking in said(click("impression"))] == [True]


def test_a_ranking_knows_the_event_that_it_follows() -> None:
    first, second = said(payment(), payment(NOON + DAY))
    assert first.slots[0].vector != second.slots[0].vector


def test_what_happens_soon_after_a_ranking_is_followed_by_one_when_that_is_old_enough() -> None:
    events = [payment(NOON + second * 1_000) for second in (0, 10, 20)]
    assert made(*events, payment(NOON + DAY)) == [
        (f"tx-{NOON}", 0, "event"),
        (f"tx-{NOON + 20_000}", MINUTE, "due"),
        (f"tx-{NOON + DAY}", DAY, "event"),
    ]


def test_any_customers_event_lets_the_time_pass() -> None:
    others = payment(NOON + HOUR, event_id="of bob", user="bob")
    assert [each[2] for each in made(payment(), payment(NOON + 1), others)] == ["event", "due", "event"]


def test_a_request_takes_the_place_of_the_ranking_that_is_due() -> None:
    asked = request("d-1", NOON + 30_000)
    assert [each[2] for each in made(payment(), payment(NOON + 1_000), asked, payment(NOON + DAY))] == [
        "event",
        "request",
        "event",
    ]


@pytest.mark.parametrize("late", [-HOUR, 0], ids=["older", "of the same moment"])
def test_a_request_that_is_read_late_leaves_the_ranking_that_is_due(late: int) -> None:
    asked = request("d-1", NOON + late)
    assert made(payment(), payment(NOON + 1_000), asked, payment(NOON + DAY)) == [
        (f"tx-{NOON}", 0, "event"),
        ("d-1", late, "request"),
        (f"tx-{NOON + 1_000}", MINUTE, "due"),
        (f"tx-{NOON + DAY}", DAY, "event"),
    ]


def test_a_request_that_names_its_candidates_puts_the_ranking_of_the_catalogue_off() -> None:
    asked = request("d-1", NOON + 30_000, offers=("coffee",))
    rankings = said(payment(), payment(NOON + 1_000), asked, payment(NOON + DAY))
    assert [(each.event_id, each.event_time - NOON, len(each.candidates)) for each in rankings] == [
        (f"tx-{NOON}", 0, 4),
        ("d-1", 30_000, 1),
        (f"tx-{NOON + 1_000}", 30_000 + MINUTE, 4),
        (f"tx-{NOON + DAY}", DAY, 4),
    ]


@settings(max_examples=100, deadline=None)
@given(
    read=st.lists(st.tuples(st.sampled_from(("payment", "request", "named")), st.integers(0, 300)), max_size=12),
    throttle=st.sampled_from((1_000, MINUTE)),
)
def test_in_whatever_order_it_is_read_the_newest_ranking_of_the_catalogue_knows_all_that_happened(
    read: list[tuple[str, int]], throttle: int
) -> None:
    ranker, known, newest = task(throttle=throttle), 0, (-1, 0)
    others = payment(NOON + DAY, event_id="of bob", user="bob")
    for n, (kind, second) in enumerate((*read, ("", 0))):
        named = {"offers": ("coffee", "cake")} if kind == "named" else {}
        at = NOON + second * 1_000
        asked = request(f"d-{n}", at, **named)
        message = {"": others, "payment": payment(at, event_id=f"tx-{n}")}.get(kind, asked)
        for each in ranker.step(record(message)):
            if each.message.user == "ann" and len(each.message.candidates) == 4:
                # A ranking that is due is made of what was read before, one that follows or answers of what is read.
                newest = max(newest, (each.message.event_time, known if each.message.trigger == "due" else n + 1))
        known = n + 1
    paid = [n + 1 for n, (kind, _) in enumerate(read) if kind == "payment"]
    assert newest[1] >= max(paid, default=0)


def test_after_a_request_too_the_next_ranking_waits() -> None:
    assert made(request(), payment(NOON + 1_000), payment(NOON + HOUR, event_id="later")) == [
        ("d-1", 0, "request"),
        (f"tx-{NOON + 1_000}", MINUTE, "due"),
        ("later", HOUR, "event"),
    ]


def test_an_event_said_twice_is_followed_by_one_ranking() -> None:
    assert len(made(payment(), payment(), payment(NOON + HOUR), payment(NOON + HOUR))) == 2
    view = click("view", NOON)
    assert len(made(view, view, payment(NOON + HOUR))) == 2


def test_an_event_that_comes_again_leaves_the_ranking_that_waits_for_another() -> None:
    first, second = click("view", NOON, event_id="first"), click("view", NOON + 1_000, event_id="second")
    later = payment(NOON + DAY, event_id="bob", user="bob")
    assert made(first, second, first, later) == made(first, second, later)
    assert [event for event, *_ in made(first, second, first, later)] == ["first", "second", "bob"]


@pytest.mark.parametrize(
    "known",
    [tables(offer(tenant="shop")), {**tables(), **{topic: {} for topic in tables() if topic.name == "offers"}}],
    ids=["offers of another tenant", "no offers at all"],
)
def test_without_offers_in_the_catalogue_nothing_is_made_or_awaited(known: Tables) -> None:
    ranker = task(known)
    assert not [each for at in (NOON, NOON + 1) for each in ranker.step(record(payment(at)))]
    assert ranker.states["ann"].due is None


def test_without_a_throttle_only_requests_are_answered() -> None:
    assert made(profile(), payment(), click("view"), request(), throttle=0) == [("d-1", 0, "request")]


def test_rankings_that_nobody_asked_for_push_out_no_decision_on_a_request() -> None:
    ranker = task()
    for message in (request(), *(payment(NOON + hour * HOUR) for hour in range(1, 40))):
        ranker.step(record(message))
    known = ranker.states["ann"].history
    assert known.decision("d-1", NOON + 40 * HOUR) is not None
    assert len(known.decisions) == 1 + UNASKED < DECISIONS


def test_an_impression_of_such_a_ranking_is_ours() -> None:
    (ranking,) = said(payment())
    shown = click("impression", NOON + HOUR, offer=ranking.slots[0].offer, decision_id=ranking.event_id)
    assert len(said(payment(), shown)) == 1


@settings(max_examples=30, deadline=None)
@given(seconds=st.lists(st.integers(0, 300), max_size=12).map(sorted), throttle=st.sampled_from((1_000, MINUTE)))
def test_no_event_waits_longer_than_the_throttle_and_no_two_rankings_are_closer(
    seconds: list[int], throttle: int
) -> None:
    events = [payment(NOON + at * 1_000, event_id=f"tx-{n}") for n, at in enumerate(seconds)]
    found = made(*events, payment(NOON + DAY, event_id="last"), throttle=throttle)
    times = [at for _, at, _ in found]
    assert all(later - earlier >= throttle for earlier, later in pairwise(times))
    for at in seconds:
        following = min(time for time in times if time >= at * 1_000)
        assert following - at * 1_000 <= throttle
    for decision, at, _ in found[:-1]:
        known = [n for n, second in enumerate(seconds) if second * 1_000 <= at]
        first_of_its_time = seconds.index(at // 1_000) if at / 1_000 in seconds else known[-1]
        assert decision == f"tx-{first_of_its_time}"


def test_a_state_restored_between_makes_the_ranking_that_is_due() -> None:
    codec = state_codec(OfferRanker(verified))
    ranker = task()
    for message in (payment(), payment(NOON + 1_000)):
        ranker.step(record(message))
    ranker.states["ann"] = codec.decode(codec.encode(ranker.states["ann"]))
    (due, _) = ranker.step(record(payment(NOON + DAY)))
    assert (due.message.trigger, due.id) == ("due", f"ann@{NOON + MINUTE}>offers.0")
