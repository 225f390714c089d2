"""A customer's risk lowers what offers are worth to us and bars them, until it has faded or was unfounded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.offer_risk import SUSPICIONS, RiskLimits
from processors.offers import OfferRanker
from schemas.offer_results import CustomerRisk, Ranking
from schemas.offer_topics import RANKINGS
from schemas.records import DAY
from schemas.results import Label
from schemas.topics import CUSTOMER_RISKS
from streams.assembly import pipeline
from streams.replay import replay
from streams.settings import Settings
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON, verified
from tests.processors.offer_world import offer, payment, record, request, tables
from tests.processors.risks import label, recorded, risk, said, suspicions

LIMITS = RiskLimits()


events = st.lists(
    st.tuples(
        st.integers(0, 60 * 24), st.floats(0, 1), st.sampled_from(("risk", "fraud", "genuine")), st.integers(0, 9)
    ),
    max_size=60,
)


@given(events, st.integers(60 * 24, 90 * 24), st.sampled_from((DAY, 7 * DAY)))
def test_the_decayed_risk_equals_a_scan_of_all_that_was_ever_told(
    told: list[tuple[int, float, str, int]], now: int, half_life: int
) -> None:
    messages: list[CustomerRisk | Label] = [
        risk(NOON + hour * HOUR, p, f"tx-{n}")
        if kind == "risk"
        else label(NOON + hour * HOUR, f"tx-{n}", fraud=kind == "fraud")
        for hour, p, kind, n in told
    ]
    last = {n: (hour, p, kind) for hour, p, kind, n in told}
    innocent = 1.0
    for hour, p, kind in last.values():
        certain = {"risk": p, "fraud": 1.0, "genuine": 0.0}[kind]
        innocent *= 1 - certain * 2 ** (-(now - hour) * HOUR / half_life)
    found = RiskLimits(half_life=half_life).abuse(suspicions(*messages), NOON + now * HOUR)
    assert found == pytest.approx(1 - innocent, abs=1e-12)


def test_no_more_than_the_newest_suspicions_are_kept() -> None:
    found = suspicions(*(risk(NOON + n, event_id=f"tx-{n}") for n in range(100)))
    assert [each.at - NOON for each in found] == list(range(100 - SUSPICIONS, 100))


def test_a_suspicion_weighs_no_more_before_its_time() -> None:
    assert LIMITS.abuse(suspicions(risk(NOON, 0.25)), NOON - DAY) == 0.25


def test_value_is_what_is_earned_less_what_is_lost_to_abuse() -> None:
    known = tables(offer("a", margin="9", cost="4", reward_unit="EUR"))
    (ranking,) = said(risk(probability=0.25), request(), known=known, risk=RiskLimits(abuse_cost=3.0))
    (slot,) = ranking.slots
    assert (slot.abuse, slot.unit) == (0.25 * 3 * 4, "EUR")
    assert slot.value == pytest.approx(slot.score * (9 - 4) - slot.abuse)


def test_an_offer_without_a_margin_is_worth_its_score_whatever_the_risk() -> None:
    (ranking,) = said(risk(probability=0.25), request())
    assert all((slot.value, slot.abuse) == (slot.score, 0.0) for slot in ranking.slots)


def test_a_risky_customer_is_rather_shown_what_costs_little() -> None:
    known = tables(
        offer("dear", margin="90", cost="40", reward_unit="EUR"),
        offer("cheap", margin="9", cost="1", reward_unit="EUR"),
    )
    dear = RiskLimits(abuse_cost=1.0)
    (safe,), (risky,) = (said(*told, request(), known=known, risk=dear) for told in ([], [risk(probability=0.45)]))
    assert [slot.offer for slot in safe.slots] == ["dear", "cheap"]
    assert [slot.offer for slot in risky.slots] == ["cheap", "dear"]


def test_from_the_bar_on_no_offer_is_shown_until_the_risk_has_faded() -> None:
    told, days = risk(probability=0.8), (0, 1, 4, 5)
    rankings = said(told, *(request(f"d-{day}", NOON + day * DAY) for day in days))
    assert [bool(ranking.slots) for ranking in rankings] == [False, False, False, True]
    assert set(rankings[0].refused.values()) == {"risk"}
    assert (0.8 * 2 ** (-4 / 7) > LIMITS.bar > 0.8 * 2 ** (-5 / 7)) is True


def test_an_open_alert_bars_offers_for_its_hold() -> None:
    told = risk(probability=0.2, alert=True)
    rankings = said(told, request("d-1", NOON + DAY - 1), request("d-2", NOON + DAY))
    assert [bool(ranking.slots) for ranking in rankings] == [False, True]


def test_a_payment_that_was_genuine_is_held_against_nobody() -> None:
    (ranking,) = said(risk(probability=0.9, alert=True), label(NOON + HOUR), request("d-1", NOON + HOUR))
    assert ranking.slots
    assert suspicions(risk(), label(NOON + HOUR)) == []


def test_a_fraud_bars_offers_from_when_it_is_known() -> None:
    rankings = said(label(NOON, fraud=True), *(request(f"d-{day}", NOON + day * DAY) for day in (0, 7, 8)))
    assert [bool(ranking.slots) for ranking in rankings] == [False, False, True]


def test_another_reason_to_refuse_an_offer_goes_before_the_risk() -> None:
    (ranking,) = said(risk(probability=0.9), request(), known=tables(offer("a", status="paused"), offer("b")))
    assert ranking.refused == {"a": "paused", "b": "risk"}


def test_offers_that_are_barred_are_taken_back_at_once_and_come_again_when_the_risk_is_gone() -> None:
    rankings = said(payment(), risk(probability=0.9, alert=True), label(NOON + HOUR), throttle=DAY)
    assert [(each.trigger, each.event_id, bool(each.slots)) for each in rankings] == [
        ("event", f"tx-{NOON}", True),
        ("risk", "tx-1>fraud.1", False),
        ("risk", "tx-1>outcomes.1", True),
    ]
    times = [each.event_time for each in rankings]
    assert times == sorted(set(times))


@pytest.mark.parametrize("settings", [{}, {"throttle": DAY}], ids=["only on request", "never ranked"])
def test_who_has_no_ranking_that_nobody_asked_for_gets_none_for_a_risk(settings: dict[str, Any]) -> None:
    assert said(risk(probability=0.9), **settings) == []


def test_a_risk_that_bars_nothing_new_makes_no_ranking() -> None:
    told = [risk(NOON + n, probability=0.9, event_id=f"tx-{n}") for n in range(5)]
    assert [each.trigger for each in said(payment(), *told, throttle=DAY)] == ["event", "risk"]


def test_a_context_restored_knows_the_risk() -> None:
    task, codec = Task(OfferRanker(verified), {}, tables()), state_codec(OfferRanker(verified))
    task.step(recorded(risk(probability=0.9)))
    task.states["ann"] = codec.decode(codec.encode(task.states["ann"]))
    (answer,) = task.step(record(request()))
    assert answer.message.refused == {"coffee": "risk"}


@pytest.mark.parametrize(
    ("thresholds", "refused"),
    [((0.0, 0.0, 1.0), {"coffee": "risk"}), ((0.0, 1.0, 1.0), {}), ((1.0, 1.0, 1.0), {})],
    ids=["reviewed", "challenged", "approved"],
)
def test_what_the_fraud_score_decides_comes_to_bear_on_offers(
    thresholds: tuple[float, float, float], refused: dict[str, str]
) -> None:
    challenge, review, decline = thresholds
    both = pipeline(Settings(challenge=challenge, review=review, decline=decline))
    found = list(
        replay(both, [record(each) for each in (offer(margin="9", cost="4"), payment(), request("d-1", NOON + 1))])
    )
    told = [each for each in found if each.topic is CUSTOMER_RISKS]
    assert len(told) == (challenge < 1.0)
    answer = next(each.message for each in found if each.topic is RANKINGS and each.message.trigger == "request")
    assert answer.refused == refused
    assert all((slot.abuse > 0.0) == bool(told) for slot in answer.slots)


def test_the_settings_come_to_bear() -> None:
    stream = [record(each) for each in (offer(margin="9", cost="4"), payment(), request("d-1", NOON + 1))]

    def answer(**changed: Any) -> Ranking:
        both = pipeline(Settings(challenge=0.0, review=1.0, decline=1.0, ranking_throttle=0, **changed))
        said = [each.message for each in replay(both, stream)]
        (ranking,) = (each for each in said if isinstance(each, Ranking))
        return ranking

    (once,), (thrice,) = answer().slots, answer(offer_abuse_cost=0.3).slots
    assert thrice.abuse == pytest.approx(3 * once.abuse)
    assert answer(offer_risk_bar=1e-6).refused == {"coffee": "risk"}
    assert answer(offer_risk_half_life=1).slots[0].abuse == pytest.approx(once.abuse / 2)
