"""When nothing is shown for a customer's risk, and that ends by itself: a ranking is made at that very moment."""

from math import ceil, log2
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from processors.offer_risk import SUSPICIONS, RiskLimits
from processors.offers import OfferRanker
from schemas.offer_results import CustomerRisk
from schemas.records import DAY
from schemas.results import Label
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON, verified
from tests.processors.offer_world import click, offer, payment, record, request, tables
from tests.processors.risks import label, recorded, risk, said, suspicions


def made(*messages: Any, **settings: Any) -> list[tuple[str, int, str, bool]]:
    """Return the decision, the time since noon and the trigger of each ranking, and whether anything is shown."""
    rankings = said(*messages, **{"throttle": DAY} | settings)
    return [(each.event_id, each.event_time - NOON, each.trigger, bool(each.slots)) for each in rankings]


def later(day: float, event_id: str = "later", user: str = "bob") -> Any:
    """Return a payment that lets the time pass: somebody else's, unless said otherwise."""
    return payment(NOON + round(day * DAY), event_id=event_id, user=user)


def test_when_the_hold_of_an_alert_ends_by_itself_offers_come_again_at_that_moment() -> None:
    assert made(payment(), risk(probability=0.2, alert=True), later(20))[1:3] == [
        ("tx-1>fraud.1", 1, "risk", False),
        (f"ann@{NOON + DAY}", DAY, "risk", True),
    ]


def test_when_a_risk_has_faded_below_the_bar_offers_come_again_at_that_moment() -> None:
    ends = ceil(log2(0.8 / 0.5) * 7 * DAY)
    assert made(payment(), risk(probability=0.8), later(20))[1:3] == [
        ("tx-1>fraud.1", 1, "risk", False),
        (f"ann@{NOON + ends}", ends, "risk", True),
    ]


def test_another_alert_holds_offers_back_for_longer_and_its_verdict_for_no_longer() -> None:
    alerts = [risk(NOON + n * HOUR, 0.1, f"tx-{n}", alert=True) for n in (0, 3)]
    assert [each[1] for each in made(payment(), *alerts, later(20))[1:-1]] == [1, DAY + 3 * HOUR]
    verdict = label(NOON + 4 * HOUR, "tx-3")
    assert [each[1] for each in made(payment(), *alerts, verdict, later(20))[1:-1]] == [1, DAY]


def test_a_ranking_that_is_asked_for_meanwhile_loses_nothing() -> None:
    asked = request("d-1", NOON + HOUR)
    assert made(payment(), risk(alert=True), asked, later(20))[2:4] == [
        ("d-1", HOUR, "request", False),
        (f"ann@{NOON + DAY}", DAY, "risk", True),
    ]


def test_a_ranking_after_an_event_and_one_at_the_end_of_the_hold_wait_for_each_other() -> None:
    hold = RiskLimits(hold=3 * HOUR)
    told = (payment(), risk(alert=True), later(1 / 24, "own", "ann"), later(20))
    assert made(*told, throttle=2 * HOUR, risk=hold)[2:4] == [
        ("own", 2 * HOUR + 1, "due", False),
        (f"ann@{NOON + 3 * HOUR}", 3 * HOUR, "risk", True),
    ]
    assert made(*told, throttle=5 * HOUR, risk=hold)[2:4] == [
        (f"ann@{NOON + 3 * HOUR}", 3 * HOUR, "risk", True),
        ("later", 20 * DAY, "event", True),
    ]


def test_the_end_of_the_hold_takes_the_place_of_a_ranking_that_a_late_request_left_waiting() -> None:
    own, late = later(1 / 24, "own", "ann"), request("late", NOON - HOUR)
    assert made(payment(), risk(alert=True), own, late, later(20), throttle=2 * DAY)[2:] == [
        ("late", -HOUR, "request", False),
        (f"ann@{NOON + DAY}", DAY, "risk", True),
        ("later", 20 * DAY, "event", True),
    ]
    assert made(payment(), risk(alert=True), own, late, later(20), throttle=2 * HOUR)[3:5] == [
        ("own", 2 * HOUR + 1, "due", False),
        (f"ann@{NOON + DAY}", DAY, "risk", True),
    ]


def test_an_event_said_twice_does_not_lose_the_end_of_the_hold() -> None:
    view = click("view", NOON)
    told = (view, risk(alert=True), view, later(20))
    assert [each[1:] for each in made(*told, throttle=HOUR)[:3]] == [
        (0, "event", True),
        (1, "risk", False),
        (DAY, "risk", True),
    ]


def test_nobody_is_ranked_at_the_end_of_a_hold_who_has_no_ranking_that_nobody_asked_for() -> None:
    assert made(request(), risk(alert=True), request("d-2", NOON + 1), later(20), throttle=0) == [
        ("d-1", 0, "request", True),
        ("d-2", 1, "request", False),
    ]
    assert made(risk(alert=True), later(20)) == [("later", 20 * DAY, "event", True)]


def test_a_hold_told_of_after_it_is_over_takes_nothing_back() -> None:
    told = (payment(), payment(NOON + 2 * DAY), risk(NOON, alert=True), later(20))
    assert [each[0] for each in made(*told)] == [f"tx-{NOON}", f"tx-{NOON + 2 * DAY}", "later"]


def test_a_context_restored_ranks_at_the_end_of_the_hold() -> None:
    ranker, codec = Task(OfferRanker(verified, throttle=DAY), {}, tables()), state_codec(OfferRanker(verified))
    for message in (payment(), risk(alert=True)):
        ranker.step(recorded(message))
    resumed = Task(OfferRanker(verified, throttle=DAY), {}, tables())
    resumed.states["ann"] = codec.decode(codec.encode(ranker.states["ann"]))
    resumed.resume(ranker.watermark, ranker.sources(), ranker.changed_dues())
    (ranking, _) = resumed.step(record(later(20)))
    assert (ranking.id, ranking.message.event_time) == (f"ann@{NOON + DAY}>offers.0", NOON + DAY)


def test_the_end_of_a_hold_is_of_the_customers_own_tenant() -> None:
    known = tables(offer(tenant="shop"))
    told = risk(alert=True, tenant="shop")
    (_, _, free, _) = said(
        payment(tenant="shop"), told, later(20), payment(NOON + 21 * DAY, tenant="shop"), known=known, throttle=DAY
    )
    assert (free.tenant, free.user, free.event_id, bool(free.slots)) == ("shop", "ann", f"ann@{NOON + DAY}", True)


known_risks = st.lists(st.tuples(st.integers(-20 * DAY, DAY), st.floats(0, 1), st.booleans()), max_size=SUSPICIONS)


@given(known_risks, st.floats(0.001, 1), st.sampled_from((1, HOUR, 7 * DAY)), st.sampled_from((0, 1, DAY)))
def test_a_bar_ends_at_the_first_moment_at_which_the_customer_is_not_barred(
    told: list[tuple[int, float, bool]], bar: float, half_life: int, hold: int
) -> None:
    limits = RiskLimits(bar, half_life, hold)
    found = suspicions(*(risk(NOON + at, p, f"tx-{n}", alert=alert) for n, (at, p, alert) in enumerate(told)))
    free = limits.free_at(found, NOON)
    assert free > NOON
    assert not limits.bars(found, free)
    assert free == NOON + 1 or limits.bars(found, free - 1)


@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_single_risk_fades_below_the_bar_when_its_half_lives_have_passed(probability: float, bar: float) -> None:
    free = RiskLimits(bar, half_life=7 * DAY).free_at(suspicions(risk(probability=probability)), NOON)
    assert free - NOON == pytest.approx(max(1, log2(probability / bar) * 7 * DAY), abs=2)


lives = st.lists(
    st.tuples(
        st.sampled_from(("risk", "alert", "fraud", "genuine", "payment", "request")),
        st.integers(1, 12 * 24),
        st.integers(0, 5),
        st.floats(0, 1),
    ),
    max_size=25,
).map(lambda events: sorted(events, key=lambda each: each[1]))


def happened(kind: str, hour: int, number: int, probability: float) -> Any:
    at = NOON + hour * HOUR
    match kind:
        case "risk" | "alert":
            return risk(at, probability, f"tx-{number}", alert=kind == "alert")
        case "fraud" | "genuine":
            return label(at, f"tx-{number}", fraud=kind == "fraud")
        case "payment":
            return payment(at, event_id=f"own-{hour}-{number}")
    return request(f"d-{hour}-{number}", at)


@settings(max_examples=60, deadline=None)
@given(lives, st.sampled_from((HOUR // 2, 5 * HOUR, 3 * DAY)))
def test_at_any_time_the_newest_ranking_is_empty_if_and_only_if_the_customer_is_barred(
    life: list[tuple[str, int, int, float]], throttle: int
) -> None:
    limits = RiskLimits(hold=7 * HOUR, half_life=DAY)
    messages = [happened(*each) for each in life]
    ranker = Task(OfferRanker(verified, throttle=throttle, risk=limits), {}, tables())
    stream = [replace(recorded(each), id=f"r-{n}") for n, each in enumerate((payment(), *messages, later(99)))]
    rankings = [each.message for one in stream for each in ranker.step(one)]
    assert [each.event_time for each in rankings] == sorted(each.event_time for each in rankings)
    risks = [
        (each[1], message)
        for each, message in zip(life, messages, strict=True)
        if isinstance(message, CustomerRisk | Label)
    ]
    for hour in range(1, 13 * 24):
        time = NOON + hour * HOUR + HOUR // 3
        known = suspicions(*(message for told, message in risks if told <= hour))
        newest = [each for each in rankings if each.event_time <= time][-1]
        assert (not newest.slots) == limits.bars(known, time)
