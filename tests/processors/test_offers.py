"""A ranking: every candidate scored as things stood before the offer was shown, by the version that it names."""

from typing import Any

import numpy as np
import pytest

from online_models.offers import RANKING, AdditiveRanker
from processors.base import Tables
from processors.offer_context import CONTEXT
from processors.offer_features import CROSSED, NAMES, candidate_vectors
from processors.offer_terms import terms_of
from processors.offers import OfferRanker
from schemas.offer_results import Ranking
from schemas.offer_topics import RANKINGS
from schemas.records import DAY
from streams.state_codec import state_codec
from streams.task import Task
from tests.builders import HOUR, NOON, feedback, moment, verified
from tests.builders import record as fraud_record
from tests.processors.offer_world import CATALOGUE, click, offer, payment, profile, record, tables, taught, version

LATER = NOON + 10 * DAY


def said(*messages: Any, known: Tables | None = None) -> list[Ranking]:
    """Return the rankings said about these messages."""
    task = Task(OfferRanker(verified), {}, known or tables(*CATALOGUE))
    return [each.message for message in messages for each in task.step(record(message)) if each.topic is RANKINGS]


def by_name(ranking: Ranking) -> dict[str, float]:
    return dict(
        zip(NAMES, (float("nan") if value is None else value for value in ranking.slots[0].vector), strict=True)
    )


def test_an_impression_ranks_every_active_offer() -> None:
    (ranking,) = said(click("impression"))
    assert ranking.candidates == ("beans", "cake", "coffee", "news")
    assert (ranking.event_id, ranking.shown, ranking.policy) == ("d-1", True, "logged")
    (slot,) = ranking.slots
    assert (slot.offer, slot.propensity) == ("coffee", 0.1)
    assert slot.window_end == NOON + 5 * DAY


def test_without_a_model_all_score_the_prior() -> None:
    (ranking,) = said(click("impression"))
    assert (ranking.source, ranking.version) == ("prior", 0)
    assert set(ranking.scores) == {RANKING.base_rate}


def test_a_stored_vector_and_version_give_the_stored_score_again() -> None:
    model = taught()
    (ranking,) = said(profile(), payment(), click("impression", LATER), known=tables(*CATALOGUE, ranker=version(model)))
    assert (ranking.source, ranking.version) == ("model", 1)
    (slot,) = ranking.slots
    assert slot.score == model.score_one(np.array(slot.vector, dtype=np.float64))
    assert slot.score == ranking.scores[ranking.candidates.index("coffee")]
    assert len(set(ranking.scores)) > 1


@pytest.mark.parametrize("changed", [{"blob": "Zm9yZ2Vk"}, {"features": "others"}])
def test_a_version_that_is_forged_or_of_other_features_never_ranks(changed: dict[str, str]) -> None:
    (ranking,) = said(click("impression"), known=tables(*CATALOGUE, ranker=version(taught(), **changed)))
    assert (ranking.source, ranking.version) == ("prior", 0)


def test_a_new_version_is_taken_up_at_once() -> None:
    known: Any = tables(*CATALOGUE, ranker=version(taught(250)))
    task = Task(OfferRanker(verified), {}, known)
    (first, _) = task.step(record(click("impression")))
    (topic,) = (topic for topic in known if topic.name == "rankers")
    known[topic]["offers"] = version(taught(300), version=2)
    (second, _) = task.step(record(click("impression", NOON, decision_id="d-2")))
    assert (first.message.version, second.message.version) == (1, 2)
    assert first.message.scores != second.message.scores


def test_an_offer_that_is_paused_over_or_not_begun_is_no_candidate_unless_it_was_shown() -> None:
    catalogue = (
        offer(status="paused"),
        offer("over", ends=moment(NOON - 1)),
        offer("soon", starts=moment(NOON + 1)),
        offer("now", starts=moment(NOON), ends=moment(NOON)),
    )
    (ranking,) = said(click("impression"), known=tables(*catalogue))
    assert ranking.candidates == ("coffee", "now")


def test_offers_of_other_tenants_are_no_candidates() -> None:
    known = tables(offer(), offer(tenant="shop"), offer("tea", tenant="shop"))
    (ranking,) = said(click("impression", tenant="shop"), known=known)
    assert (ranking.candidates, ranking.tenant) == (("coffee", "tea"), "shop")


def test_an_impression_of_an_unknown_offer_or_said_twice_changes_nothing() -> None:
    assert said(click("impression", offer="unheard of")) == []
    assert len(said(click("impression"), click("impression"))) == 1


def test_an_impression_is_not_in_its_own_context() -> None:
    first, second = said(click("impression"), click("impression", LATER, decision_id="d-2"))
    assert (by_name(first)["impressions"], by_name(second)["impressions"]) == (0.0, 1.0)


def test_what_is_in_flight_is_told_of_the_offer_itself() -> None:
    _, again, later = (
        by_name(each)
        for each in said(
            click("impression"),
            click("impression", NOON + DAY, decision_id="d-2"),
            click("impression", LATER, decision_id="d-3"),
        )
    )
    assert (again["offer_in_flight"], again["offer_impressions"]) == (1.0, 1.0)
    assert (later["offer_in_flight"], later["offer_impressions"]) == (0.0, 2.0)


def test_a_cross_is_the_customers_feature_where_the_offer_has_the_flag() -> None:
    task = Task(OfferRanker(verified), {}, tables(*CATALOGUE))
    for message in (profile(), payment(), payment(NOON + HOUR), click("impression", LATER)):
        task.step(record(message))
    context = task.states["ann"]
    catalogue = [terms_of(each) for each in CATALOGUE]
    for terms, row in zip(catalogue, candidate_vectors(context, catalogue, LATER), strict=True):
        found = dict(zip(NAMES, row.tolist(), strict=True))
        flags = {f"kind_{terms.kind}", *(f"by_{channel}" for channel in terms.channels)}
        for name, flag in CROSSED:
            crossed = found[f"{name} where {flag}"]
            assert np.array_equal(crossed, found[name] if flag in flags else np.nan, equal_nan=True)


def test_candidates_together_have_the_vectors_of_each_alone() -> None:
    task = Task(OfferRanker(verified), {}, tables(*CATALOGUE))
    for message in (profile(), payment(), click("impression"), click("view", NOON + HOUR)):
        task.step(record(message))
    terms = [terms_of(each) for each in CATALOGUE]
    together = candidate_vectors(task.states["ann"], terms, LATER)
    alone = [candidate_vectors(task.states["ann"], [each], LATER)[0] for each in terms]
    assert np.array_equal(together, np.array(alone), equal_nan=True)
    assert not np.isinf(together).any()
    assert len(set(NAMES)) == len(NAMES) == together.shape[1]
    assert set(CONTEXT) < set(NAMES)


def test_a_state_restored_ranks_the_same() -> None:
    codec = state_codec(OfferRanker(verified))
    history = (profile(), payment(), click("impression"), click("view", NOON + HOUR), click("redemption", NOON + DAY))
    straight, broken = (Task(OfferRanker(verified), {}, tables(*CATALOGUE)) for _ in range(2))
    for message in history:
        straight.step(record(message))
        broken.step(record(message))
        broken.states["ann"] = codec.decode(codec.encode(broken.states["ann"]))
    asked = record(click("impression", LATER, decision_id="d-2"))
    assert str(straight.step(asked)) == str(broken.step(asked))


def test_a_propensity_that_nobody_tells_counts_as_one() -> None:
    (ranking,) = said(click("impression", propensity=None))
    assert ranking.slots[0].propensity == 1.0


def test_a_message_of_another_sort_is_a_bug() -> None:
    with pytest.raises(TypeError, match="offers does not read Feedback"):
        OfferRanker(verified).step(None, fraud_record(feedback()), tables())


def test_the_model_of_the_pipeline_has_the_features_of_the_vectors() -> None:
    assert AdditiveRanker(NAMES).features == NAMES
