"""What all customers have had of an offer: counted, costed, and looked up before it is shown again."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from processors.offer_usage import OfferUsageCounter
from processors.offers import OfferRanker
from schemas.offer_results import Happened, OfferEvent, OfferUsage, Ranking
from schemas.records import DAY, AnyRecord
from streams.pipeline import Pipeline
from streams.replay import Replay, replay
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON, verified
from tests.processors.offer_world import click, offer, record, request


def event(kind: Happened, number: int = 1, cost: float = 0.0) -> OfferEvent:
    fields = {"offer": "coffee", "user": "ann", "decision": "d-1", "unit": "EUR"}
    return OfferEvent(event_id=f"{kind}-{number}", event_time=NOON + number, kind=kind, cost=cost, **fields)


def counted(*events: OfferEvent) -> OfferUsage:
    task = Task(OfferUsageCounter(), {}, {})
    *_, last = (said.message for each in events for said in task.step(record(each)))
    assert isinstance(last, OfferUsage)
    return last


def test_each_kind_is_counted_apart_and_every_redemption_costs() -> None:
    found = counted(event("impression"), event("impression", 2), event("view", 3), *_redemptions(3))
    assert (found.impressions, found.views, found.redemptions) == (2, 1, 3)
    assert (found.spent, found.unit, found.offer) == (0.3, "EUR", "coffee")
    assert (found.event_id, found.event_time) == ("redemption-3", NOON + 3)


def _redemptions(count: int) -> list[OfferEvent]:
    return [event("redemption", number + 1, cost=0.1) for number in range(count)]


def test_a_reversal_gives_back_what_its_redemption_cost_and_never_more_than_there_was() -> None:
    found = counted(*_redemptions(3), event("reversal", 4, cost=0.1))
    assert (found.redemptions, found.spent, found.reversals) == (2, 0.2, 1)
    found = counted(event("redemption", cost=0.1), *(event("reversal", n, cost=0.2) for n in (2, 3)))
    assert (found.redemptions, found.spent, found.reversals) == (0, 0.0, 2)


def test_whatever_happens_the_order_of_counts_is_told_by_them() -> None:
    events = [
        event("impression"),
        *_redemptions(2),
        event("reversal", 3, 0.1),
        event("reversal", 3, 0.1),
        event("view"),
    ]
    told = [counted(*events[:n]).counted for n in range(1, len(events) + 1)]
    assert told == sorted(set(told))


def test_counts_from_before_reversals_were_counted_go_on() -> None:
    codec = state_codec(OfferUsageCounter())
    task = Task(OfferUsageCounter(), {"coffee": codec.decode(msgspec.msgpack.encode([9, 5, 2, 5.0]))}, {})
    (said,) = task.step(record(event("reversal", cost=2.5)))
    assert (said.message.redemptions, said.message.spent, said.message.reversals) == (1, 2.5, 1)


def test_counts_restored_go_on() -> None:
    task = Task(OfferUsageCounter(), {}, {})
    codec = state_codec(task.processor)
    for each in _redemptions(5):
        (said,) = task.step(record(each))
        task.states["coffee"] = codec.decode(codec.encode(task.states["coffee"]))
    assert (said.message.redemptions, said.message.spent) == (5, 0.5)


def pipeline() -> Pipeline:
    return Pipeline((OfferRanker(verified), OfferUsageCounter()))


def customer(number: int) -> Iterable[AnyRecord]:
    """Return a customer who is shown the only offer, if it is there, and redeems it at once."""
    at, user, decision = NOON + number * HOUR, f"u{number}", f"d-{number}"
    yield record(request(decision, at, user=user))
    for kind in ("impression", "view", "redemption"):
        yield record(click(kind, at, user=user, decision_id=decision, event_id=f"{kind}-{number}"))


@pytest.mark.parametrize(
    ("limit", "reason"),
    [({"stock": 3}, "stock"), ({"budget": "7.5", "cost": "2.5"}, "budget")],
    ids=["stock", "budget"],
)
def test_what_is_used_up_is_shown_to_nobody_else(limit: dict[str, Any], reason: str) -> None:
    stream = [record(offer(**limit)), *(each for number in range(5) for each in customer(number))]
    rankings = [said.message for said in replay(pipeline(), stream) if isinstance(said.message, Ranking)]
    assert [len(ranking.slots) for ranking in rankings if not ranking.shown] == [1, 1, 1, 0, 0]
    assert [ranking.refused for ranking in rankings if not ranking.slots] == [{"coffee": reason}] * 2


def test_more_stock_is_shown_again() -> None:
    engine = Replay(pipeline())
    for each in (record(offer(stock=1)), *customer(0)):
        list(engine.step(each))
    list(engine.step(record(offer(stock=2))))
    (answer,) = engine.step(record(request("d-9", NOON + DAY)))
    assert [slot.offer for slot in answer.message.slots] == ["coffee"]


@pytest.mark.parametrize("limit", [{"stock": 3}, {"budget": "7.5", "cost": "2.5"}], ids=["stock", "budget"])
def test_what_is_taken_back_is_shown_to_somebody_else(limit: dict[str, Any]) -> None:
    engine = Replay(pipeline())
    back = click("reversal", NOON + 3 * HOUR, user="u1")
    again = click("reversal", NOON + 3 * HOUR, user="u1", event_id="again")
    stream = [record(offer(**limit)), *(each for number in range(3) for each in customer(number))]
    for each in (*stream, record(back), record(back), record(again)):
        list(engine.step(each))
    answers = [said.message for number in (3, 4) for each in customer(number) for said in engine.step(each)]
    assert [len(each.slots) for each in answers if isinstance(each, Ranking) and not each.shown] == [1, 0]


def test_a_new_offer_is_counted_from_nothing_and_a_changed_one_goes_on() -> None:
    task = Task(OfferUsageCounter(), {}, {})
    (new,) = task.step(record(offer(reward_unit="EUR")))
    assert (new.message.offer, new.message.impressions, new.message.unit) == ("coffee", 0, "EUR")
    task.step(record(event("impression")))
    assert list(task.step(record(offer(status="paused")))) == []
    (shown,) = task.step(record(event("impression", 2)))
    assert shown.message.impressions == 2


def test_offers_of_two_tenants_are_counted_apart() -> None:
    shop = OfferEvent(
        event_id="e", event_time=NOON, tenant="shop", offer="coffee", user="ann", kind="view", decision="d-1"
    )
    task = Task(OfferUsageCounter(), {}, {})
    for each in (shop, event("view")):
        task.step(record(each))
    assert set(task.states) == {"coffee", "shop/coffee"}
