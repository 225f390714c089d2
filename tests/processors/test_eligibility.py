"""Whether an offer may be shown to a customer now: every limit, at its edge, and with its reason."""

from typing import Any

import pytest

from processors.eligibility import refusal
from processors.offer_answers import answer, show
from processors.offer_context import OfferContext, introduce, new_context
from processors.offer_terms import terms_of
from schemas.events import Click, Offer, Profile
from schemas.offer_results import OfferUsage
from schemas.records import DAY
from tests.builders import HOUR, NOON, moment
from tests.processors.offer_world import click, offer, profile, usage


def context_of(*messages: Any, shown: Offer | None = None) -> OfferContext:
    """Return the context of a customer for whom this happened; an impression shows `shown`."""
    context = new_context(NOON)
    for message in messages:
        match message:
            case Profile():
                introduce(context, message)
            case Click(kind="impression"):
                show(context, str(message.decision_id), terms_of(shown or offer()), message.time_ms())
            case _:
                answer(context, message)
    return context


def why(
    about: Offer, context: OfferContext | None = None, at: int = NOON, used: OfferUsage | None = None
) -> str | None:
    return refusal(terms_of(about), context or context_of(), used, at)


def test_an_offer_without_limits_may_be_shown_to_anybody() -> None:
    assert why(offer()) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"status": "paused"}, "paused"),
        ({"status": "expired"}, "expired"),
        ({"starts": moment(NOON + 1)}, "not_started"),
        ({"ends": moment(NOON - 1)}, "over"),
        ({"starts": moment(NOON), "ends": moment(NOON)}, None),
    ],
)
def test_an_offer_is_open_when_it_is_active_and_in_its_time(changed: dict[str, Any], reason: str | None) -> None:
    assert why(offer(**changed)) == reason


def test_segments_are_those_of_the_profile() -> None:
    gold = offer(segments=["gold", "silver"])
    assert why(gold) == why(gold, context_of(profile(segment="bronze"))) == "segment"
    assert why(gold, context_of(profile(segment="gold"))) is None


def test_who_has_not_agreed_is_not_shown_what_takes_consent() -> None:
    marketing = offer(consent="marketing")
    assert why(marketing) == why(marketing, context_of(profile(consent=["email"]))) == "consent"
    assert why(marketing, context_of(profile(consent=["email", "marketing"]))) is None


def test_stock_is_how_often_all_customers_may_redeem() -> None:
    assert why(offer(stock=0)) == "stock"
    assert why(offer(stock=2), used=usage(redemptions=2)) == "stock"
    assert why(offer(stock=3), used=usage(redemptions=2)) is None


def paced(**changed: Any) -> Offer:
    """Return an offer whose budget of 100.00 is to last for ten days."""
    window = {"starts": moment(NOON), "ends": moment(NOON + 10 * DAY)}
    return offer(**{"paced": True, "budget": "100", "cost": "5"} | window | changed)


@pytest.mark.parametrize(
    ("day", "spent", "reason"),
    [
        (0, 0.0, None),
        (0, 5.0, "pacing"),
        (1, 10.0, None),
        (1, 10.01, "pacing"),
        (9.5, 95.0, None),
        (10, 96.0, "budget"),
    ],
)
def test_a_paced_budget_is_spent_no_faster_than_evenly(day: float, spent: float, reason: str | None) -> None:
    assert why(paced(), at=NOON + round(day * DAY), used=usage(spent=spent)) == reason


def test_without_pacing_a_budget_may_be_spent_at_once() -> None:
    assert why(paced(paced=False), used=usage(spent=95.0)) is None


@pytest.mark.parametrize("missing", ["budget", "starts", "ends"])
def test_a_paced_offer_tells_its_budget_and_its_time(missing: str) -> None:
    with pytest.raises(ValueError, match="a paced offer tells its budget"):
        paced(**{missing: None})


def test_a_budget_must_pay_for_one_redemption_more() -> None:
    assert why(offer(budget="29.99", cost="10"), used=usage(spent=20.0)) == "budget"
    assert why(offer(budget="30", cost="10"), used=usage(spent=20.0)) is None
    assert why(offer(budget="0.3", cost="0.1"), used=usage(spent=0.2)) is None
    assert why(offer(budget="0", reward="0")) == "budget"


def test_the_cost_is_the_reward_where_nobody_tells() -> None:
    assert why(offer(budget="9", reward="10")) == "budget"
    assert why(offer(budget="9", reward="10", cost="2")) is None


def test_a_customer_redeems_no_more_often_than_allowed() -> None:
    twice = (click("redemption", NOON + HOUR), click("redemption", NOON + 2 * HOUR))
    assert why(offer(most_per_customer=2), context_of(click("impression"), *twice), NOON + DAY) == "customer_cap"
    assert why(offer(most_per_customer=2), context_of(click("impression"), *twice[:1]), NOON + DAY) is None


def test_a_redemption_said_twice_or_of_nothing_shown_counts_for_no_limit() -> None:
    once = click("redemption", NOON + HOUR)
    assert why(offer(most_per_customer=2), context_of(click("impression"), once, once), NOON + DAY) is None
    assert why(offer(most_per_customer=1), context_of(once), NOON + DAY) is None


def test_an_offer_is_shown_no_more_often_in_seven_days_than_allowed() -> None:
    limited = offer(shows_per_week=2)
    shows = [click("impression", NOON + day * DAY, decision_id=f"d-{day}") for day in range(2)]
    context = context_of(*shows, shown=limited)
    assert why(limited, context, NOON + 7 * DAY - 1) == "frequency_cap"
    assert why(limited, context, NOON + 7 * DAY) is None
    assert why(offer(shows_per_week=3), context, NOON + DAY) is None


def test_the_shows_that_are_kept_are_bounded_by_the_limit() -> None:
    limited = offer(shows_per_week=3)
    shows = [click("impression", NOON + hour * HOUR, decision_id=f"d-{hour}") for hour in range(50)]
    assert len(context_of(*shows, shown=limited).history.had["coffee"].shows) == 3
    assert context_of(*shows, shown=offer()).history.had == {}


def test_an_offer_cools_down_after_it_was_redeemed() -> None:
    context = context_of(click("impression"), click("redemption", NOON + HOUR))
    cooling = offer(cool_down_days=2)
    assert why(cooling, context, NOON + HOUR + 2 * DAY - 1) == "cool_down"
    assert why(cooling, context, NOON + HOUR + 2 * DAY) is None


def test_offers_that_exclude_each_other_are_not_open_at_once() -> None:
    tea = offer("tea", exclusive_of=["coffee"])
    assert why(tea, context_of(click("impression")), NOON + DAY) == "exclusive"
    assert why(tea, context_of(click("impression")), NOON + 5 * DAY + 1) is None
    assert why(tea, context_of(click("impression"), click("redemption", NOON + HOUR)), NOON + DAY) is None
