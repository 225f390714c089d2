"""Simulated customers visit a shop, and buy of what is recommended by tastes that nobody is told."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from schemas.recommendation_results import Recommendations, Suggestion
from schemas.recommendation_topics import ITEMS, RECOMMENDATIONS
from schemas.records import DAY, AnyRecord, Record
from schemas.topics import CLICKS, TRANSACTIONS
from streams.assembly import recommendation_pipeline
from streams.item_simulator import Shoppers
from streams.item_tastes import ItemTastes, catalogue
from streams.replay import Replay
from streams.settings import Settings
from streams.simulator import World, simulate

WORLD = World(seed=3, customers=40, terminals=60, days=40)
MANY = World(seed=3, customers=400, terminals=60, days=14)
"""Where nobody comes so often that they have what they like best."""

END = round(WORLD.start.timestamp() * 1000) + WORLD.days * DAY
NAMES, LIKING = ItemTastes.of(MANY).names, ItemTastes.of(MANY).liking

Choice = Callable[[str, int], list[str]]


def answer(visit: AnyRecord, items: list[str]) -> AnyRecord:
    told = Recommendations(
        event_id=visit.id,
        event_time=visit.time,
        user=visit.message.user,
        expires_at=visit.time + DAY,
        items=tuple(Suggestion(item, 0.5, "trending", "why", {}) for item in items),
        weights={},
    )
    return Record(RECOMMENDATIONS, told, f"{visit.id}>recommendations.0")


def lived(choose: Choice, shoppers: Shoppers) -> list[AnyRecord]:
    """Return what customers do when each visit is answered by a choice."""
    happened = []
    for record in shoppers.until(END):
        happened.append(record)
        if record.topic is CLICKS and record.message.kind == "click":
            shoppers.hear(answer(record, choose(record.message.user, shoppers.visits)))
    return happened


def by_turns(_user: str, visit: int) -> list[str]:
    return [NAMES[(7 * visit + place) % len(NAMES)] for place in range(5)]


def liked(user: str, _visit: int) -> list[str]:
    return [NAMES[column] for column in np.argsort(-LIKING[int(user[1:])])[:20]]


def clicks(happened: list[AnyRecord], kind: str) -> list[AnyRecord]:
    return [each for each in happened if each.topic is CLICKS and each.message.kind == kind]


def test_the_same_recommendations_give_the_same_events() -> None:
    once, again = (lived(by_turns, Shoppers(WORLD)) for _ in range(2))
    assert [each.topic.encode(each.message) for each in once] == [each.topic.encode(each.message) for each in again]
    assert len({each.id for each in once}) == len(once)


def test_first_comes_the_catalogue_then_visits_about_as_often_as_told() -> None:
    happened = lived(by_turns, Shoppers(WORLD, 0.3))
    assert [each.topic for each in happened[: len(NAMES)]] == [ITEMS] * len(NAMES)
    assert len(clicks(happened, "click")) == pytest.approx(0.3 * WORLD.customers * WORLD.days, rel=0.15)


def test_events_come_by_time_between_the_payments_and_end_with_them() -> None:
    shoppers, happened = Shoppers(WORLD, 0.3), []
    for record in shoppers.among(simulate(WORLD)):
        happened.append(record)
        if record.topic is CLICKS and record.message.kind == "click":
            shoppers.hear(answer(record, by_turns("", shoppers.visits)))
    assert all(a.time <= b.time for a, b in pairwise(happened))
    assert [each for each in happened if each.topic is TRANSACTIONS][-1].time <= happened[-1].time
    assert clicks(happened, "rating")


def test_a_purchase_is_of_what_was_recommended_and_made_once_and_a_rating_follows_it() -> None:
    shoppers = Shoppers(WORLD, 0.5)
    happened = lived(lambda user, _visit: by_turns(user, int(user[1:])), shoppers)
    bought = {(each.message.user, each.message.item): each.time for each in clicks(happened, "purchase")}
    assert len(bought) == len(clicks(happened, "purchase")) <= shoppers.bought
    for user, item in bought:
        assert item in by_turns(user, int(user[1:]))
    for rating in clicks(happened, "rating"):
        assert rating.time >= bought[rating.message.user, rating.message.item] + DAY
        assert 1 <= rating.message.value <= 5


def test_what_is_liked_is_bought_more_than_what_comes_by_chance_which_is_worth_what_is_told() -> None:
    rates = {}
    for choose in (liked, by_turns):
        shoppers = Shoppers(MANY, 0.1)
        lived(choose, shoppers)
        rates[choose] = shoppers.hit_rate or 0.0, shoppers.random_rate or 0.0
    assert rates[by_turns][0] == pytest.approx(rates[by_turns][1], abs=0.03)
    assert rates[liked][0] > 1.2 * rates[liked][1]


def test_a_visit_is_answered_once_and_by_nothing_older() -> None:
    shoppers = Shoppers(WORLD, 0.5)
    visit = next(each for each in shoppers.until(END) if each.topic is CLICKS)
    older = answer(visit, [])
    shoppers.hear(Record(RECOMMENDATIONS, _at(older.message, visit.time - 1), "older"))
    assert shoppers.shown == 0
    for _ in range(2):
        shoppers.hear(answer(visit, list(NAMES[:9])))
    assert shoppers.shown == 5


def _at(told: Recommendations, time: int) -> Recommendations:
    return Recommendations(
        event_id=told.event_id, event_time=time, user=told.user, expires_at=time, items=told.items, weights={}
    )


def test_before_any_visit_there_is_nothing_to_compare() -> None:
    assert (Shoppers(WORLD).hit_rate, Shoppers(WORLD).random_rate) == (None, None)


def test_an_item_says_what_it_is_and_not_who_likes_it() -> None:
    for entry in catalogue(WORLD):
        assert entry.message.model_fields_set == {"event_id", "event_time", "item", "title", "categories"}


def test_recommendations_are_better_than_chance_once_something_is_known() -> None:
    world = World(seed=1, customers=60, terminals=60, days=90)
    shoppers, engine = Shoppers(world, 0.3), Replay(recommendation_pipeline(Settings()))
    for record in shoppers.until(round(world.start.timestamp() * 1000) + world.days * DAY):
        for said in engine.step(record):
            shoppers.hear(said)
    assert shoppers.shown > 5_000
    assert (shoppers.hit_rate or 0) > 1.1 * (shoppers.random_rate or 1)
