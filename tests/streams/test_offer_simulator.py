"""Simulated customers ask for offers by themselves, and answer what they are shown by tastes that nobody is told."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from schemas.events import Click, OfferRequest
from schemas.offer_results import OfferExample, RankedOffer, Ranking
from schemas.offer_topics import OFFER_EXAMPLES, RANKINGS
from schemas.records import DAY, AnyRecord, Record
from schemas.topics import CLICKS, OFFER_REQUESTS, OFFERS, PROFILES, TRANSACTIONS
from streams.offer_simulator import ATTENTION, Customers
from streams.offer_tastes import Tastes, catalogue, number_of
from streams.simulator import World, simulate

WORLD = World(seed=3, customers=40, terminals=60, days=20)
MANY = World(seed=3, customers=150, terminals=200, days=15)
OFFERED = tuple(record.message.offer for record in catalogue(WORLD))

Choice = Callable[[OfferRequest], tuple[str, ...]]


def ranking(request: OfferRequest, offers: tuple[str, ...], **changed: Any) -> Ranking:
    time = request.time_ms()
    slots = tuple(
        RankedOffer(offer=offer, score=0.3, value=0.3, propensity=0.1, window_end=time + 5 * DAY, vector=())
        for offer in offers
    )
    return Ranking(
        event_id=request.event_id,
        event_time=time,
        user=request.user,
        slots=slots,
        candidates=OFFERED,
        scores=(0.3,) * len(OFFERED),
        source="prior",
        policy="greedy",
        model="offers",
        version=0,
        features="f",
        **changed,
    )


def example(made: Ranking, position: int) -> AnyRecord:
    slot = made.slots[position]
    message = OfferExample(
        event_id=f"{made.event_id}/{position}",
        event_time=made.event_time,
        model="offers",
        user=made.user,
        offer=slot.offer,
        label=False,
        matured_at=slot.window_end,
        score=slot.score,
        version=0,
        features="f",
        vector=(),
        propensity=slot.propensity,
        decision=made.event_id,
    )
    return Record(OFFER_EXAMPLES, message, message.event_id)


def lived(choose: Choice, customers: Customers, world: World = WORLD) -> list[AnyRecord]:
    """Return what customers do until their world ends, when each request is answered by a choice."""
    happened = []
    for record in customers.until(round(world.start.timestamp() * 1000) + world.days * DAY):
        happened.append(record)
        if record.topic is OFFER_REQUESTS:
            made = ranking(record.message, choose(record.message))
            customers.hear(Record(RANKINGS, made, f"{record.id}>offers.0"))
            for position in range(len(made.slots)):
                customers.hear(example(made, position))
    return happened


def alike(request: OfferRequest) -> tuple[str, ...]:
    return OFFERED[:3]


def by_turns(request: OfferRequest) -> tuple[str, ...]:
    first = int(request.event_id[-4:])
    return tuple(OFFERED[(first + 7 * position) % len(OFFERED)] for position in range(3))


def best(request: OfferRequest) -> tuple[str, ...]:
    order = np.argsort(-Tastes.of(MANY).liking[int(request.user[1:])])
    return tuple(OFFERED[at] for at in order[int(request.event_id[-1]) % 4 :][:3])


def kinds(records: list[AnyRecord]) -> Counter[str]:
    return Counter(record.message.kind for record in records if record.topic is CLICKS)


def clicks(records: list[AnyRecord], kind: str) -> dict[str, Click]:
    found = (record.message for record in records if record.topic is CLICKS)
    return {f"{click.decision_id} {click.offer}": click for click in found if click.kind == kind}


def test_the_same_rankings_give_the_same_events() -> None:
    once, again = (lived(by_turns, Customers(WORLD)) for _ in range(2))
    assert [each.topic.encode(each.message) for each in once] == [each.topic.encode(each.message) for each in again]
    assert len({each.id for each in once}) == len(once)


def test_first_comes_the_catalogue_then_the_customers() -> None:
    topics = [record.topic for record in lived(alike, Customers(WORLD))]
    assert topics[: len(OFFERED) + WORLD.customers] == [OFFERS] * len(OFFERED) + [PROFILES] * WORLD.customers
    assert [number_of(offer) for offer in OFFERED] == list(range(len(OFFERED)))


def test_customers_ask_about_as_often_as_told() -> None:
    asked = [record for record in lived(alike, Customers(WORLD, 0.5)) if record.topic is OFFER_REQUESTS]
    assert len(asked) == pytest.approx(0.5 * WORLD.customers * WORLD.days, rel=0.15)
    assert len({record.message.user for record in asked}) > 0.95 * WORLD.customers


def test_events_come_by_time_between_the_payments_and_end_with_them() -> None:
    customers, happened = Customers(WORLD), []
    for record in customers.among(simulate(WORLD)):
        happened.append(record)
        if record.topic is OFFER_REQUESTS:
            customers.hear(Record(RANKINGS, ranking(record.message, alike(record.message)), record.id))
    assert all(a.time <= b.time for a, b in pairwise(happened))
    assert [each for each in happened if each.topic is TRANSACTIONS][-1].time <= happened[-1].time
    assert kinds(happened)["view"] > 50


def test_what_is_shown_is_seen_less_further_down_and_redeemed_in_its_time() -> None:
    happened = lived(by_turns, Customers(WORLD, 1.0))
    shown, seen, redeemed = (clicks(happened, kind) for kind in ("impression", "view", "redemption"))
    assert set(seen) < set(shown)
    assert set(redeemed) < set(shown)
    for position, attention in enumerate(ATTENTION[:3]):
        here = [slot for slot, click in shown.items() if click.event_id.endswith(f"-{position}")]
        assert len(seen.keys() & set(here)) / len(here) == pytest.approx(attention, abs=0.06)
    for slot, click in redeemed.items():
        assert shown[slot].event_time < click.event_time
        assert click.time_ms() <= shown[slot].time_ms() + 5 * DAY
        assert slot not in seen or seen[slot].event_time <= click.event_time


def test_showing_what_is_liked_is_worth_more_than_chance_and_chance_is_worth_what_is_told() -> None:
    rates = {}
    for choose in (best, by_turns):
        customers = Customers(MANY, 0.3)
        counts = kinds(lived(choose, customers, MANY))
        rates[choose] = counts["redemption"] / counts["impression"], customers.random_rate or 0
    assert rates[by_turns][0] == pytest.approx(rates[by_turns][1], abs=0.04)
    assert rates[best][0] > 1.2 * rates[by_turns][0]


def test_a_customer_tires_of_what_is_always_the_same() -> None:
    counts = {choose: kinds(lived(choose, Customers(WORLD, 2.0))) for choose in (alike, by_turns)}
    taken = {choose: found["redemption"] / found["view"] for choose, found in counts.items()}
    assert taken[alike] < 0.7 * taken[by_turns]


def test_before_anything_is_learned_there_is_nothing_to_compare_with() -> None:
    customers = Customers(WORLD)
    assert customers.random_rate is None
    request = asked(customers)
    customers.hear(example(ranking(request, alike(request)), 0))
    assert customers.random_rate is None


def asked(customers: Customers) -> OfferRequest:
    """Return the first request there is."""
    for record in customers.until(2**60):
        if isinstance(record.message, OfferRequest):
            return record.message
    raise AssertionError("nobody asks")


def test_what_somebody_else_showed_is_not_answered_here() -> None:
    customers = Customers(WORLD)
    request = asked(customers)
    customers.hear(Record(RANKINGS, ranking(request, alike(request), shown=True), "d-1"))
    customers.hear(Record(RANKINGS, ranking(request, alike(request)), "d-1"))
    customers.hear(Record(RANKINGS, ranking(request, alike(request)), "said again"))
    assert kinds(list(customers.until(2**60)))["impression"] == 3


def test_a_customer_waits_for_an_answer_until_it_is_there() -> None:
    customers = Customers(WORLD)
    assert customers.waiting == 0
    request = asked(customers)
    assert customers.waiting == 1
    customers.hear(Record(RANKINGS, ranking(request, alike(request)), "d-1"))
    assert customers.waiting == 0
