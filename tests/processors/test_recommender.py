"""Recommending live: what customers do changes what they, and others, are recommended; never what they have."""

from typing import Any

import pytest

from online_models.split_factors import SplitFactors
from processors.item_demand import DemandForItems
from processors.recommendations import Mix
from processors.recommender import Recommender
from schemas.events import Click, Profile
from schemas.recommendation_results import CatalogueItem, ItemDemand, Recommendations
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS, RECOMMENDATIONS
from schemas.records import DAY, AnyRecord, Record
from schemas.topics import CLICKS, PROFILES
from streams.pipeline import Pipeline
from streams.replay import Replay
from streams.state_codec import state_codec
from tests.builders import HOUR, MINUTE, NOON, moment

CATALOGUE = {"alien": ("Horror",), "airplane": ("Comedy",), "duck soup": ("Comedy",), "psycho": ("Horror",)}


class Shop:
    """The recommender's pipeline in process, with what it said."""

    def __init__(self, consent: str | None = None, catalogue: bool = True, **mix: Any) -> None:
        model, chosen = SplitFactors(), Mix(**mix)
        recommender = Recommender(model, chosen, consent=consent)
        self.engine = Replay(Pipeline((recommender, DemandForItems(model, chosen))))
        self.said: list[AnyRecord] = []
        self._events = 0
        for item, categories in CATALOGUE.items() if catalogue else ():
            self.stock(item, categories=categories)

    def agree(self, user: str, *consent: str, at: int = NOON) -> None:
        self._events += 1
        profile = Profile(event_id=f"profile-{self._events}", event_time=moment(at), user=user, consent=consent)
        self._step(Record(PROFILES, profile, profile.event_id))

    def stock(self, item: str, **changed: Any) -> None:
        entry = CatalogueItem(event_id=f"entry-{item}", event_time=moment(NOON), item=item, **changed)
        self._step(Record(ITEMS, entry, entry.event_id))

    def click(self, user: str, kind: str, item: str | None = None, at: int = NOON, **changed: Any) -> list[str] | None:
        """Return what is recommended to the user because of a click; None when nothing new is."""
        self._events += 1
        fields = {"event_id": f"click-{self._events}", "event_time": moment(at), "user": user, "kind": kind}
        click = Click.model_validate({**fields, "item": item, **changed})
        before = len(self.said)
        self._step(Record(CLICKS, click, click.event_id))
        told = [each.message for each in self.said[before:] if each.topic is RECOMMENDATIONS]
        mine = [message for message in told if message.user == user]
        return [suggestion.item for suggestion in mine[-1].items] if mine else None

    def last(self, user: str) -> Recommendations:
        told: list[Recommendations] = [each.message for each in self.said if each.topic is RECOMMENDATIONS]
        return next(message for message in reversed(told) if message.user == user)

    def demand(self, key: str) -> ItemDemand:
        found: ItemDemand = self.engine.tables[ITEM_DEMANDS][key]
        return found

    def _step(self, record: AnyRecord) -> None:
        self.said.extend(self.engine.step(record))


def test_a_stranger_is_recommended_something_at_once() -> None:
    assert sorted(Shop().click("ann", "view", "alien") or ()) == sorted(CATALOGUE)


@pytest.mark.parametrize(("kind", "value"), [("purchase", None), ("redemption", None), ("rating", 1.0)])
def test_what_a_customer_has_is_never_recommended_again(kind: str, value: float | None) -> None:
    shop = Shop()
    assert "alien" in (shop.click("ann", "view") or ())
    for n in range(3):
        told = shop.click("ann", kind, "alien", NOON + n * HOUR, value=value)
        assert sorted(told or ()) == ["airplane", "duck soup", "psycho"]


def test_new_recommendations_wait_for_the_last_to_be_a_minute_old() -> None:
    shop = Shop()
    shop.click("ann", "view", "alien")
    assert shop.click("ann", "view", "alien", at=NOON + MINUTE // 2) is None
    shop.click("bob", "view", at=NOON + 2 * MINUTE)
    assert shop.last("ann").event_time == NOON + MINUTE
    assert shop.click("ann", "view", "alien", at=NOON + 3 * MINUTE) is not None


def test_what_was_recommended_is_withdrawn_at_once_when_it_is_bought() -> None:
    shop = Shop()
    shop.click("ann", "view")
    told = shop.click("ann", "purchase", "alien", NOON + 1)
    assert told is not None
    assert "alien" not in told


def test_recommendations_hold_for_their_time() -> None:
    shop = Shop(ttl_ms=HOUR)
    shop.click("ann", "view")
    assert (shop.last("ann").event_time, shop.last("ann").expires_at) == (NOON, NOON + HOUR)
    assert shop.last("ann").event_id == "click-1"


def test_a_taste_is_followed_with_its_reason() -> None:
    shop = Shop(trending=0.05)
    for n in range(4):
        shop.stock(f"farce {n}", categories=("Comedy",), status="paused")
        shop.click("ann", "rating", f"farce {n}", NOON + n * HOUR, value=5.0)
        shop.click("bob", "rating", "psycho", NOON + n * HOUR, value=3.0)
    shop.click("ann", "view", at=NOON + 2 * DAY)
    told = {each.item: each.reason for each in shop.last("ann").items}
    assert set(list(told)[:2]) == {"airplane", "duck soup"}
    assert told["airplane"] == "You rated 4 Comedy items 5.0 on average; this is Comedy too"
    assert sum(shop.last("ann").weights.values()) == pytest.approx(1.0)


def test_what_others_like_is_recommended_to_a_stranger() -> None:
    shop = Shop()
    for n in range(5):
        shop.click(f"u{n}", "rating", "psycho", NOON, value=5.0)
        shop.click(f"u{n}", "rating", "alien", NOON, value=1.0)
    told = shop.click("stranger", "view", at=NOON + HOUR)
    assert told is not None
    assert told[0] == "psycho"
    assert shop.demand("psycho").rated == shop.demand("psycho").count == 5
    assert shop.demand("psycho").bias > 0.0 > shop.demand("alien").bias


def test_items_that_are_not_active_are_not_recommended() -> None:
    shop = Shop()
    shop.stock("psycho", status="expired")
    assert sorted(shop.click("ann", "view") or ()) == ["airplane", "alien", "duck soup"]


def test_tenants_see_nothing_of_each_other() -> None:
    shop = Shop()
    shop.stock("mug", tenant="acme")
    shop.click("ann", "purchase", "mug", tenant="acme")
    assert shop.click("bob", "view", tenant="acme") == ["mug"]
    assert shop.demand("acme/mug").count == 1
    assert sorted(shop.click("ann", "view") or ()) == sorted(CATALOGUE)


@pytest.mark.parametrize("value", [None, 0.0, 9.0, float("nan")])
def test_a_rating_off_the_scale_counts_as_a_purchase(value: float | None) -> None:
    shop = Shop()
    assert "alien" not in (shop.click("ann", "rating", "alien", value=value) or ())
    assert (shop.demand("alien").count, shop.demand("alien").rated) == (1, 0)


def test_an_item_that_is_in_no_catalogue_can_be_owned() -> None:
    shop = Shop()
    shop.click("ann", "purchase", "unlisted")
    shop.stock("unlisted")
    assert "unlisted" not in (shop.click("ann", "view", "alien", NOON + HOUR) or ("unlisted",))


def test_a_choice_of_what_no_catalogue_has_is_counted_as_such() -> None:
    shop = Shop()
    shop.click("ann", "purchase", "unlisted")
    shop.click("bob", "purchase", "alien")
    assert (shop.demand("unlisted").count, shop.demand("unlisted").unlisted) == (1, 1)
    assert (shop.demand("alien").count, shop.demand("alien").unlisted) == (1, 0)
    shop.stock("unlisted")
    shop.click("bob", "purchase", "unlisted")
    assert (shop.demand("unlisted").count, shop.demand("unlisted").unlisted) == (2, 1)


@pytest.mark.parametrize(("kind", "value"), [("purchase", None), ("rating", 5.0)])
def test_what_is_sent_twice_counts_once(kind: str, value: float | None) -> None:
    shop = Shop()
    for hours in range(2):
        shop.click("ann", kind, "alien", NOON + hours * HOUR, event_id="same", value=value)
    assert shop.demand("alien").count == 1


def test_what_is_newest_is_told_by_its_time_even_within_a_millisecond() -> None:
    shop = Shop()
    shop.click("ann", "view", "psycho")
    shop.click("ann", "purchase", "alien")
    assert shop.last("ann").event_time == NOON + 1
    assert "alien" not in [each.item for each in shop.last("ann").items]


def test_what_is_no_items_business_brings_new_recommendations_only_once_the_last_have_expired() -> None:
    shop = Shop(ttl_ms=HOUR)
    assert shop.click("ann", "impression", offer="coffee") is not None
    assert shop.click("ann", "impression", offer="coffee", at=NOON + HOUR - 1) is None
    shop.click("bob", "view", "alien", NOON + DAY)
    assert shop.last("ann").event_time == NOON
    assert shop.click("ann", "impression", offer="coffee", at=NOON + DAY) is not None


def test_without_a_catalogue_nothing_is_said_and_nobody_is_remembered() -> None:
    shop = Shop(catalogue=False)
    shop.click("ann", "impression", offer="coffee")
    assert shop.said == []
    assert shop.engine.tasks[Recommender.name].states == {}
    assert shop.click("ann", "purchase", "alien") is None
    shop.stock("psycho")
    assert shop.click("ann", "view", "psycho", NOON + 1) == ["psycho"]


def test_who_has_everything_is_recommended_nothing_more() -> None:
    shop = Shop()
    for n, item in enumerate(CATALOGUE):
        told = shop.click("ann", "purchase", item, NOON + n * HOUR)
    assert told == []


def test_only_what_is_in_demand_is_recommended_without_consent() -> None:
    shop = Shop(consent="personal")
    shop.agree("ann", "personal")
    shop.agree("bob", "newsletter")
    for user in ("ann", "bob", "eve"):
        shop.click(user, "rating", "psycho", value=5.0)
        shop.click(user, "purchase", "alien", NOON + HOUR)
    assert shop.last("ann").personal
    assert shop.last("ann").weights["content"] > 0
    for user in ("bob", "eve"):
        assert not shop.last(user).personal
        assert shop.last(user).weights == {"collaborative": 0.0, "content": 0.0, "trending": 1.0}
        assert sorted(each.item for each in shop.last(user).items) == ["airplane", "duck soup"]
        assert {each.reason for each in shop.last(user).items} == {"One of 2 that you do not have"}
    assert (shop.demand("psycho").count, shop.demand("psycho").rated) == (3, 1)


def test_who_takes_consent_back_is_recommended_without_it_at_once_and_forgotten() -> None:
    shop = Shop(consent="personal")
    shop.agree("ann", "personal")
    shop.click("ann", "rating", "psycho", value=5.0)
    assert shop.last("ann").personal
    shop.agree("ann", at=NOON + 1)
    assert not shop.last("ann").personal
    assert "psycho" not in [each.item for each in shop.last("ann").items]
    state = shop.engine.tasks[Recommender.name].states["ann"]
    assert (state.half.rated, state.shopper.likings) == (0, {})
    shop.agree("ann", "personal", at=NOON + 2)
    assert shop.last("ann").personal
    assert shop.last("ann").weights["content"] == 0.0


def test_a_profile_alone_brings_no_recommendations() -> None:
    shop = Shop(consent="personal")
    shop.agree("ann", "personal")
    assert shop.said == []


def test_what_is_of_no_input_is_refused() -> None:
    profile = Record(PROFILES, Profile(event_id="p", event_time=moment(NOON), user="ann"), "p")
    with pytest.raises(TypeError, match="demand does not read Profile"):
        DemandForItems(SplitFactors()).step(None, profile, {})


def test_a_restored_state_goes_on_identically() -> None:
    straight, restarted = Shop(), Shop()
    for n in range(60):
        for shop in (straight, restarted):
            user, item = f"u{n % 3}", list(CATALOGUE)[n % 4]
            shop.click(user, "rating" if n % 2 else "view", item, NOON + n * MINUTE // 3, value=1.0 + n % 5)
        for task in restarted.engine.tasks.values():
            codec = state_codec(task.processor)
            for key, state in list(task.states.items()):
                task.states[key] = codec.decode(codec.encode(state))
    assert [record.message for record in restarted.said] == [record.message for record in straight.said]
