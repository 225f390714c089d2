"""While no model can be used, what was good last is served again, honestly, and the model is back with its version."""

from typing import Any

import numpy as np
import pytest

from processors.last_good import AGAIN
from processors.offers import OfferRanker
from schemas.offer_results import RankerVersion, Ranking
from schemas.offer_topics import RANKERS
from schemas.records import DAY
from schemas.topics import OFFERS
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON, verified
from tests.processors.offer_world import CATALOGUE, click, offer, record, request, tables, taught, version

GOOD, LATER = NOON, NOON + DAY
MODEL = taught()
FORGED: dict[str, Any] = {"blob": "Zm9yZ2Vk", "digest": "forged"}


class Shop:
    """A ranker and its tables, which change as the test goes on."""

    def __init__(self, ranker: RankerVersion | None = version(MODEL), **settings: Any) -> None:
        self.tables: Any = tables(*CATALOGUE, ranker=ranker)
        self.task = Task(OfferRanker(verified, policy="greedy", **settings), {}, self.tables)

    def publish(self, **changed: Any) -> None:
        """Publish another version of the ranker."""
        self.tables[RANKERS]["offers"] = version(MODEL, **changed)

    def ask(self, decision: str, at: int = LATER, **changed: Any) -> Ranking:
        """Return the answer to a request."""
        said = [each.message for each in self.task.step(record(request(decision, at, **changed)))]
        (ranking,) = (each for each in said if isinstance(each, Ranking))
        return ranking


def names(ranking: Ranking) -> list[str]:
    return [slot.offer for slot in ranking.slots]


@pytest.mark.parametrize("broken", [FORGED, {"features": "others"}], ids=["forged", "other features"])
def test_when_a_version_cannot_be_used_the_last_good_ranking_is_served_again(broken: dict[str, Any]) -> None:
    shop = Shop()
    good = shop.ask("good", GOOD)
    shop.publish(**broken)
    served = shop.ask("again")
    assert (good.source, good.degraded, good.good_at) == ("model", False, None)
    assert (served.source, served.degraded, served.good_at, served.policy) == (AGAIN, True, GOOD, AGAIN)
    assert (names(served), served.version) == (names(good), good.version)
    assert [slot.score for slot in served.slots] == [slot.score for slot in good.slots]
    assert {slot.propensity for slot in served.slots} == {1.0}
    assert (served.candidates, served.scores) == (tuple(names(good)), tuple(slot.score for slot in good.slots))


def test_it_is_learned_from_on_what_is_known_now() -> None:
    shop = Shop()
    shop.ask("good", GOOD)
    shop.publish(**FORGED)
    shop.task.step(record(click("impression", GOOD + HOUR, offer="cake")))
    served = shop.ask("again")
    fresh = Shop()
    fresh.task.states.update(shop.task.states)
    by_model = {slot.offer: slot.vector for slot in fresh.ask("now", slots=4).slots}
    for slot in served.slots:
        assert np.array_equal(np.array(slot.vector, float), np.array(by_model[slot.offer], float), equal_nan=True)
        assert slot.window_end > LATER


def test_the_model_is_back_with_the_next_version_that_can_be_used() -> None:
    shop = Shop()
    shop.ask("good", GOOD)
    shop.publish(**FORGED)
    assert shop.ask("crisis").degraded
    shop.publish(version=2)
    back = shop.ask("back")
    assert (back.source, back.version, back.degraded, back.good_at) == ("model", 2, False, None)


def test_what_may_no_longer_be_shown_is_left_out() -> None:
    shop = Shop()
    first, *others = names(shop.ask("good", GOOD))
    shop.publish(**FORGED)
    gone = offer(first, status="paused")
    shop.tables[OFFERS][OFFERS.key(gone)] = gone
    served = shop.ask("again")
    assert names(served) == others
    assert served.refused == {first: "paused"}


def test_when_nothing_of_it_may_be_shown_the_rules_rank() -> None:
    shop = Shop()
    good = names(shop.ask("good", GOOD))
    (other,) = {each.offer for each in CATALOGUE} - set(good)
    shop.publish(**FORGED)
    served = shop.ask("again", offers=(other,))
    assert (names(served), served.source, served.degraded, served.good_at) == ([other], "prior", True, None)
    shop.task.step(record(click("impression", LATER)))
    assert shop.ask("rules", offers=(other,)).source == "rules"


def test_no_more_is_served_than_was_asked_for() -> None:
    shop = Shop()
    good = shop.ask("good", GOOD)
    shop.publish(**FORGED)
    assert names(shop.ask("one", slots=1)) == names(good)[:1]


def test_a_customer_without_a_good_ranking_gets_what_the_rules_rank() -> None:
    served = Shop(version(MODEL, **FORGED)).ask("first")
    assert (served.source, served.degraded) == ("prior", True)


def test_the_answer_to_a_few_named_offers_is_no_last_good_ranking() -> None:
    shop = Shop()
    shop.ask("good", GOOD, offers=("news",))
    shop.publish(**FORGED)
    assert shop.ask("again").source == "prior"


def test_a_ranker_that_has_learned_nothing_for_long_no_longer_ranks() -> None:
    shop = Shop(stale_after=10 * DAY)
    good = shop.ask("good", NOON + 10 * DAY)
    served = shop.ask("stale", NOON + 10 * DAY + 1)
    assert (good.source, served.source, names(served)) == ("model", AGAIN, names(good))
    shop.publish(version=2, learned_through=NOON + 9 * DAY)
    assert shop.ask("back", NOON + 11 * DAY).source == "model"


def test_a_good_ranking_that_is_as_old_is_not_served_again() -> None:
    shop = Shop(stale_after=10 * DAY)
    shop.ask("good", NOON)
    served = shop.ask("stale", NOON + 10 * DAY + 1)
    assert (served.source, served.degraded) == ("prior", True)


def test_without_any_version_nothing_is_degraded() -> None:
    ranking = Shop(None).ask("d", NOON + 100 * DAY)
    assert (ranking.source, ranking.degraded) == ("prior", False)


def test_a_context_restored_serves_the_same_again() -> None:
    shop, codec = Shop(), state_codec(OfferRanker(verified))
    good = shop.ask("good", GOOD)
    shop.task.states["ann"] = codec.decode(codec.encode(shop.task.states["ann"]))
    shop.publish(**FORGED)
    assert names(shop.ask("again")) == names(good)
