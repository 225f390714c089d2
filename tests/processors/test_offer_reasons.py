"""Reasons: words whose numbers are those that the score was made from, and never what a person is."""

import re
from typing import Any

import numpy as np
import pytest

from processors.base import Tables
from processors.offer_features import NAMES, candidate_vectors
from processors.offer_reasons import MOST
from processors.offer_terms import terms_of
from processors.offer_wordings import WORDINGS, Told, in_words
from processors.offers import OfferRanker
from processors.reasons import Facts
from schemas.events import Offer
from schemas.offer_results import RankedOffer
from schemas.offer_topics import RANKINGS
from schemas.records import DAY
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

LATER = NOON + 10 * DAY
PAST = (
    profile(),
    *(payment(NOON + day * DAY, "12.00") for day in range(10)),
    *(click("impression", NOON + day * DAY, decision_id=f"x-{day}") for day in range(3)),
    *(click("view", NOON + day * DAY + HOUR, decision_id=f"x-{day}") for day in range(3)),
    *(click("redemption", NOON + day * DAY + 2 * HOUR, decision_id=f"x-{day}") for day in range(2)),
)


def slots(*messages: Any, known: Tables) -> list[RankedOffer]:
    """Return the slots of the only ranking of ours that is said about these messages."""
    task = Task(OfferRanker(verified, policy="greedy"), {}, known)
    said = [each.message for message in messages for each in task.step(record(message)) if each.topic is RANKINGS]
    return list(said[-1].slots)


def told(*messages: Any, about: Offer | None = None) -> Told:
    """Return what a reason for an offer may quote, ten days later."""
    task = Task(OfferRanker(verified), {}, tables(*CATALOGUE))
    for message in messages:
        task.step(record(message))
    context, terms = task.states["ann"], terms_of(about or offer())
    return Told(context, terms, Facts(NAMES, candidate_vectors(context, [terms], LATER)[0].tolist()))


def words(feature: str, *messages: Any, about: Offer | None = None) -> str | None:
    found = told(*(messages or PAST), about=about)
    return in_words(feature, found.facts[feature], found)


def test_a_model_gives_at_most_three_reasons_that_weigh_most() -> None:
    model = taught()
    for slot in slots(*PAST, request("d-9", LATER), known=tables(*CATALOGUE, ranker=version(model))):
        x = np.array(slot.vector, dtype=np.float64)
        contributions = dict(zip(NAMES, model.contributions(x), strict=True))
        assert 0 < len(slot.reasons) <= MOST
        assert len({reason.text for reason in slot.reasons}) == len(slot.reasons)
        for reason in slot.reasons:
            assert reason.contribution == contributions[reason.feature] > 0.0
        weights = [reason.contribution for reason in slot.reasons]
        assert weights == sorted(weights, reverse=True)


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("redemption_rate", "You redeemed 2 of the 3 offers you got"),
        ("redemption_rate_bogo", "You redeemed 2 of the 3 offers like this you got"),
        ("view_rate where kind_bogo", "You looked at 3 of the 3 offers you got"),
        ("offer_redemption_rate", "You redeemed this 2 of 3 times"),
        ("spend_per_day_90d", "You spend 84.00 a week; this returns 10.00 on 10.00"),
        ("spend_to_minimum", "You spend 60.00 in 5 days; this takes 10.00"),
        ("basket_to_minimum", "Your usual payment is 12.00"),
        ("largest_basket_to_minimum", "Your largest payment of 90 days was 12.00"),
        ("payments_per_day_90d", "You pay 7.0 times a week"),
        ("hours_since_payment", "You last paid 1.0 days ago"),
        ("hours_since_redemption", "You last redeemed an offer 8.9 days ago"),
        ("tenure_days", "You have been with us for 110 days"),
        ("reward", "This gives 10.00"),
        ("minimum_spend", "This takes a spend of 10.00"),
        ("reward_share", "This returns 100% of what it takes"),
        ("duration_days", "You have 5 days to redeem it"),
    ],
)
def test_words_quote_the_numbers_of_the_customer_and_the_offer(feature: str, text: str) -> None:
    assert words(feature) == text


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("category_share", "75% of your payments are for coffee"),
        ("category_days_since_payment", "You last paid for coffee 1 day ago"),
        ("category_trend_7d", "You spent 2.4× your usual week on coffee"),
        ("category_view_rate", "You looked at 1 of the 1 coffee offers you got"),
        ("category_redemption_rate", "You redeemed 1 of the 1 coffee offers you got"),
        ("merchant_view_rate", "You looked at 1 of the 1 offers of this merchant you got"),
        ("merchant_redemption_rate", "You redeemed 1 of the 1 offers of this merchant you got"),
    ],
)
def test_what_is_known_of_a_category_or_a_merchant_is_told(feature: str, text: str) -> None:
    about = offer("latte", category="coffee", merchant="m1")
    paid = [payment(NOON + day * DAY, "14.00", category="coffee") for day in (-30, -20, 9)]
    other = payment(NOON + 9 * DAY, "5.00", category="books", event_id="books")
    kinds = ("impression", "view", "redemption")
    done = [click(kind, NOON + 8 * DAY, decision_id="x", offer="latte", event_id=kind) for kind in kinds]
    task = Task(OfferRanker(verified), {}, tables(about))
    for message in (*paid, other, *done):
        task.step(record(message))
    context, terms = task.states["ann"], terms_of(about)
    facts = Facts(NAMES, candidate_vectors(context, [terms], LATER)[0].tolist())
    assert in_words(feature, facts[feature], Told(context, terms, facts)) == text


def test_of_a_category_nobody_knows_nothing_is_told() -> None:
    assert [words(name) for name in WORDINGS if name.startswith(("category", "merchant"))] == [None] * 7


def test_a_trend_is_told_when_it_goes_up() -> None:
    steady = [payment(NOON + day * DAY, "7.00") for day in range(3)]
    assert words("trend_7d_30d", *steady, payment(NOON + 9 * DAY, "70.00")) == (
        "You spend 1.1× as much in the last 7 days as your usual 63.70 a week"
    )
    assert words("trend_7d_30d", *steady) is None


def test_what_is_open_is_counted_in_words() -> None:
    shown = [click("impression", LATER - hours * HOUR, decision_id=f"d-{hours}") for hours in (3, 2)]
    assert words("in_flight", *shown) == "You have 2 offers open"
    assert words("in_flight", *shown[:1]) == "You have 1 offer open"
    assert words("in_flight_seen", *shown) is None


def test_spending_in_another_unit_is_not_put_beside_the_offer() -> None:
    assert words("spend_per_day_90d", about=offer(reward_unit="EUR")) == words("spend_per_day_90d")
    assert words("spend_per_day_90d", about=offer(reward_unit="USD")) == "You spend 84.00 a week"
    assert words("spend_to_minimum", about=offer(reward_unit="USD")) is None


def test_nothing_is_said_of_what_is_missing_or_never_happened() -> None:
    assert words("redemption_rate", click("impression")) is None
    assert words("offer_redemption_rate", profile()) is None
    assert words("basket_90d", profile()) is None
    assert words("redemption_rate_discount") is None


@pytest.mark.parametrize("feature", ["age", "income", "gender_F", "profile_missing", "age where kind_bogo", "hour"])
def test_what_a_person_is_is_never_a_reason(feature: str) -> None:
    assert words(feature) is None


def test_every_wording_is_of_a_feature() -> None:
    assert set(WORDINGS) <= set(NAMES)
    for feature in NAMES:
        text = words(feature)
        assert text is None or re.search(r"\d|new to you", text)


def test_rules_tell_what_they_count() -> None:
    known = tables(offer(category="drinks"), used=[usage(impressions=40, redemptions=9)])
    (slot,) = slots(*PAST, request("d-9", LATER), known=known)
    assert [reason.text for reason in slot.reasons] == [
        "You redeemed 2 of the 3 offers of drinks you got",
        "You redeemed 2 of the 3 offers like this you got",
        "It was redeemed 9 times in 40 shows",
    ]


def test_rules_say_what_is_new_and_the_prior_says_nothing() -> None:
    (new,) = slots(request("d-9", LATER), known=tables(offer(), used=[usage(redemptions=0)]))
    assert [reason.text for reason in new.reasons] == ["It is new to you"]
    (unknown,) = slots(request("d-9", LATER), known=tables(offer()))
    assert unknown.reasons == ()
