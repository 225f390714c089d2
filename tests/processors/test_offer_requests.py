"""A request is answered once, with slots by the policy and every refusal with its reason; its offers are then ours."""

from typing import Any

import pytest

from processors.base import Tables
from processors.offer_history import DECISION_LIFE, DECISIONS
from processors.offers import OfferRanker
from schemas.offer_results import OfferEvent, Ranking
from schemas.offer_topics import OFFER_EVENTS, RANKERS, RANKINGS
from schemas.records import DAY
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON, verified
from tests.processors.offer_world import (
    CATALOGUE,
    click,
    offer,
    payment,
    profile,
    record,
    request,
    tables,
    taught,
    usage,
    version,
)

GREEDY: dict[str, Any] = {"policy": "greedy"}


def task(known: Tables | None = None, **settings: Any) -> Task:
    return Task(OfferRanker(verified, **settings), {}, known or tables(*CATALOGUE))


def said(*messages: Any, known: Tables | None = None, **settings: Any) -> list[Any]:
    """Return all that is said about these messages."""
    ranker = task(known, **settings)
    return [each.message for message in messages for each in ranker.step(record(message))]


def asked(*messages: Any, known: Tables | None = None, **settings: Any) -> Ranking:
    """Return the one ranking that is said about these messages."""
    (ranking,) = (each for each in said(*messages, known=known, **settings) if isinstance(each, Ranking))
    return ranking


def happened(*messages: Any, known: Tables | None = None) -> list[tuple[str, str, str, float]]:
    events = (each for each in said(*messages, known=known) if isinstance(each, OfferEvent))
    return [(each.decision, each.offer, each.kind, each.cost) for each in events]


def test_a_request_is_answered_with_slots_from_the_catalogue() -> None:
    ranking = asked(request())
    assert (ranking.event_id, ranking.user, ranking.event_time) == ("d-1", "ann", NOON)
    assert (ranking.policy, ranking.shown, ranking.refused) == ("epsilon-greedy", False, {})
    assert ranking.candidates == ("beans", "cake", "coffee", "news")
    assert len({slot.offer for slot in ranking.slots}) == len(ranking.slots) == 3


def test_slots_are_in_the_order_of_the_scores_where_nothing_is_explored() -> None:
    known = tables(*CATALOGUE, ranker=version(taught()))
    ranking = asked(profile(), payment(), request(at=NOON + 10 * DAY), known=known, **GREEDY)
    best = sorted(ranking.scores, reverse=True)[:3]
    assert [slot.score for slot in ranking.slots] == best
    assert {slot.propensity for slot in ranking.slots} == {1.0}
    assert (ranking.source, ranking.version) == ("model", 1)


def test_an_offer_is_worth_its_margin_less_its_cost_times_its_score() -> None:
    known = tables(
        offer("dear", margin="4", cost="1", reward_unit="EUR"),
        offer("cheap", margin="2", cost="1", reward_unit="EUR"),
        offer("loss", margin="1", cost="2", reward_unit="EUR"),
    )
    ranking = asked(request(), known=known, **GREEDY)
    assert [slot.offer for slot in ranking.slots] == ["dear", "cheap", "loss"]
    assert [round(slot.value / slot.score) for slot in ranking.slots] == [3, 1, -1]
    assert {slot.unit for slot in ranking.slots} == {"EUR"}


@pytest.mark.parametrize("other", [{"margin": None}, {"margin": "9", "reward_unit": "USD"}])
def test_values_that_cannot_be_compared_do_not_rank(other: dict[str, Any]) -> None:
    mixed = tables(offer("a", margin="4", cost="1", reward_unit="EUR"), offer("b", **other))
    assert {slot.propensity for slot in asked(request(slots=1), known=mixed, **GREEDY).slots} == {0.5}


def test_only_the_offers_that_are_named_are_candidates_each_once() -> None:
    ranking = asked(request(offers=("coffee", "tea", "coffee")))
    assert (ranking.candidates, ranking.refused) == (("coffee",), {"tea": "unknown"})


def test_no_eligible_offer_is_an_answer_without_slots_that_says_why() -> None:
    known = tables(offer(status="paused"), offer("tea", stock=2), used=[usage("tea")])
    ranking = asked(request(), known=known)
    assert (ranking.slots, ranking.candidates) == ((), ())
    assert ranking.refused == {"coffee": "paused", "tea": "stock"}


def test_offers_of_another_tenant_are_unknown() -> None:
    known = tables(offer(), offer("tea", tenant="shop"))
    assert asked(request(tenant="shop"), known=known).candidates == ("tea",)
    assert asked(request(tenant="shop", offers=("coffee",)), known=known).refused == {"coffee": "unknown"}


def test_at_most_so_many_offers_of_a_category_get_a_slot() -> None:
    drinks = tables(*(offer(name, category="drinks") for name in "abcd"), offer("e", category="food"), offer("f"))
    chosen = {slot.offer for slot in asked(request(slots=20), known=drinks).slots}
    assert len(chosen & set("abcd")) == 2
    assert {"e", "f"} < chosen
    assert len(asked(request(slots=20), known=drinks, most_per_category=None).slots) == 6


def test_a_request_said_twice_is_answered_once() -> None:
    assert len([each for each in said(request(), request()) if isinstance(each, Ranking)]) == 1


def test_the_same_request_is_answered_the_same_and_another_seed_explores_otherwise() -> None:
    def order(seed: int) -> list[list[str]]:
        rankings = said(*(request(f"d-{n}") for n in range(20)), seed=seed)
        return [[slot.offer for slot in ranking.slots] for ranking in rankings]

    assert order(1) == order(1) != order(2)


@pytest.mark.parametrize("settings", [{"policy": "guess"}, {"most_per_category": 0}])
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"unknown policy 'guess': there are greedy|at least one offer of a category"):
        OfferRanker(verified, **settings)


def test_a_version_that_cannot_be_used_is_told() -> None:
    forged = tables(*CATALOGUE, ranker=version(taught(), blob="Zm9yZ2Vk"))
    assert asked(request(), known=forged).degraded
    assert not asked(request()).degraded


def test_an_impression_of_a_slot_is_no_decision_of_somebody_else() -> None:
    shown = asked(request()).slots[0].offer
    impression = click("impression", NOON + HOUR, offer=shown)
    assert [type(each) for each in said(request(), impression, impression)] == [Ranking, OfferEvent]
    assert happened(request(), impression) == [("d-1", shown, "impression", 0.0)]


def test_an_impression_of_what_the_decision_has_no_slot_of_changes_nothing() -> None:
    missing = click("impression", NOON + HOUR, offer="tea")
    known = tables(*CATALOGUE, offer("tea", status="paused"))
    assert happened(request(), missing, known=known) == []


@pytest.mark.parametrize(
    "between",
    [[], [request(f"other-{n}", NOON + HOUR) for n in range(DECISIONS)]],
    ids=["too late", "too many others since"],
)
def test_an_impression_of_a_forgotten_decision_is_somebody_elses(between: list[Any]) -> None:
    shown = asked(request()).slots[0].offer
    late = click("impression", NOON + DECISION_LIFE + (0 if between else 1), offer=shown)
    ranking = said(request(), *between, late)[-2]
    assert (ranking.event_id, ranking.policy, ranking.shown) == ("d-1", "logged", True)


def test_what_happens_with_an_offer_that_was_shown_is_said_with_its_cost_once() -> None:
    known = tables(offer(cost="3"))
    view, redemption = click("view", NOON + HOUR), click("redemption", NOON + 2 * HOUR)
    once = [("d-1", "coffee", "impression", 0.0), ("d-1", "coffee", "view", 0.0), ("d-1", "coffee", "redemption", 3.0)]
    messages = (click("impression"), view, view, redemption, redemption)
    assert happened(*messages, known=known) == once


def test_every_redemption_of_an_impression_costs() -> None:
    redemptions = [click("redemption", NOON + hour * HOUR) for hour in range(3)]
    assert [kind for *_, kind, _ in happened(click("impression"), *redemptions)] == ["impression", *["redemption"] * 3]


def test_what_was_never_shown_or_is_of_another_decision_is_counted_nowhere() -> None:
    assert happened(click("redemption"), click("view", offer=None, decision_id="d-9")) == []
    assert happened(request(), click("redemption", NOON + HOUR, decision_id="d-1")) == []
    assert len(happened(click("impression"), click("redemption", NOON + HOUR, decision_id="d-9"))) == 1


def test_a_context_restored_answers_the_same() -> None:
    codec = state_codec(OfferRanker(verified))
    straight, broken = task(), task()
    history = (
        profile(segment="gold", consent=["marketing"]),
        payment(),
        request(),
        click("impression", NOON, offer="cake"),
        click("redemption", NOON + HOUR, offer="cake"),
    )
    for message in history:
        straight.step(record(message))
        broken.step(record(message))
        broken.states["ann"] = codec.decode(codec.encode(broken.states["ann"]))
    again = record(request("d-2", NOON + DAY))
    assert str(straight.step(again)) == str(broken.step(again))


def test_an_answer_depends_on_nothing_but_what_is_read() -> None:
    ranker = OfferRanker(verified)
    assert set(ranker.outputs) == {RANKINGS, OFFER_EVENTS}
    assert RANKERS in ranker.tables
