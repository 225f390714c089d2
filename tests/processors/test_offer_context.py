"""A customer's context: spending, what became of earlier offers, and the profile."""

from math import isnan, log, nan
from statistics import stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.offer_answers import answer, show
from processors.offer_context import CONTEXT, OfferContext, context_values, introduce, new_context, pay
from processors.offer_tallies import PRIOR, SHOWN
from processors.offer_terms import OPEN_ENDED, Terms, TermsByOffer, terms_of
from schemas.events import Click, Offer, Profile
from schemas.records import DAY
from tests.builders import HOUR, NOON, moment
from tests.processors.offer_world import click, offer, payment, profile

LATER = NOON + 10 * DAY
COFFEE = terms_of(offer())


def known(*messages: Any, at: int = LATER) -> dict[str, float]:
    """Return the context after these messages; an impression is shown as `coffee`."""
    return told(folded(*messages), at)


def folded(*messages: Any) -> OfferContext:
    context = new_context(NOON)
    for message in messages:
        if isinstance(message, Profile):
            introduce(context, message)
        elif not isinstance(message, Click):
            pay(context, message)
        elif message.kind == "impression":
            show(context, str(message.decision_id), COFFEE, message.time_ms())
        else:
            answer(context, message)
    return context


def told(context: OfferContext, at: int) -> dict[str, float]:
    return dict(zip(CONTEXT, context_values(context, at), strict=True))


@given(hours=st.lists(st.tuples(st.integers(0, 100 * 24), st.integers(1, 9_999)), min_size=1, max_size=30))
def test_spending_equals_a_scan_of_all_payments(hours: list[tuple[int, int]]) -> None:
    paid = sorted(hours)
    payments = [
        payment(NOON + at * HOUR, f"{cents / 100:.2f}", event_id=f"tx-{number}")
        for number, (at, cents) in enumerate(paid)
    ]
    now = NOON + max(24, paid[-1][0]) * HOUR
    found = known(*payments, at=now)
    observed = (now - NOON) / DAY
    for days in (7, 30, 90):
        recent = [cents / 100 for at, cents in paid if NOON + at * HOUR > now - days * DAY]
        span = min(observed, days)
        assert found[f"payments_per_day_{days}d"] == pytest.approx(len(recent) / span)
        assert found[f"spend_per_day_{days}d"] == pytest.approx(sum(recent) / span)
        assert found[f"basket_{days}d"] == pytest.approx(sum(recent) / len(recent) if recent else nan, nan_ok=True)
        if days == 90:
            assert found["basket_max_90d"] == pytest.approx(max(recent, default=nan), nan_ok=True)
            assert found["basket_std_90d"] == pytest.approx(stdev(recent) if len(recent) > 1 else nan, nan_ok=True)


def test_a_trend_is_the_log_ratio_of_what_is_spent_a_day() -> None:
    found = known(payment(NOON, "50.00"), payment(NOON + 9 * DAY, "20.00"))
    assert found["trend_7d_30d"] == pytest.approx(log((20 / 7 + 0.1) / (70 / 10 + 0.1)))
    assert found["trend_30d_90d"] == 0.0
    assert found["hours_since_payment"] == 24.0


def test_habits_are_unknown_on_the_first_day() -> None:
    found = known(payment(NOON), at=NOON + 23 * HOUR)
    assert isnan(found["payments_per_day_7d"])
    assert isnan(found["basket_90d"])
    assert found["hours_since_payment"] == 23.0


def test_a_payment_said_twice_counts_once() -> None:
    assert str(folded(payment(), payment())) == str(folded(payment()))


def test_rates_are_drawn_to_the_prior() -> None:
    found = known(click("impression"), click("view", NOON + HOUR), click("redemption", NOON + DAY))
    assert found["view_rate"] == pytest.approx((1 + 2 * PRIOR[0]) / 3)
    assert found["redemption_rate"] == pytest.approx((1 + 2 * PRIOR[1]) / 3)
    assert found["blind_redemption_rate"] == pytest.approx((2 * PRIOR[2]) / 3)
    assert found["view_rate_bogo"] == pytest.approx((1 + 2 * found["view_rate"]) / 3)
    assert isnan(found["view_rate_discount"])


def test_a_redemption_without_a_view_is_blind() -> None:
    found = known(click("impression"), click("redemption", NOON + DAY), click("view", NOON + 2 * DAY))
    assert found["blind_redemption_rate"] == pytest.approx((1 + 2 * PRIOR[2]) / 3)
    assert found["redemption_rate"] == pytest.approx((2 * PRIOR[1]) / 3)
    assert found["view_rate"] == pytest.approx((1 + 2 * PRIOR[0]) / 3)


def test_rates_are_unknown_to_who_was_shown_nothing() -> None:
    found = known(click("view"), click("redemption"))
    assert isnan(found["view_rate"])
    assert found["impressions"] == 0.0


def test_a_view_said_twice_or_too_late_counts_once() -> None:
    once = known(click("impression"), click("view", NOON + HOUR))
    again = known(click("impression"), click("view", NOON + HOUR), click("view", NOON + HOUR, event_id="again"))
    late = known(click("impression"), click("view", NOON + HOUR), click("view", NOON + 6 * DAY))
    assert once["view_rate"] == again["view_rate"] == late["view_rate"]
    assert late["hours_since_view"] == 4 * 24.0


def test_in_flight_is_what_is_open_and_not_redeemed() -> None:
    shown = [click("impression", NOON + day * DAY, decision_id=f"d-{day}") for day in range(3)]
    seen = (*shown, click("view", NOON + 3 * DAY))
    found = known(*seen, at=NOON + 4 * DAY)
    assert (found["in_flight"], found["in_flight_seen"]) == (3.0, 1.0)
    assert known(*seen, at=NOON + 6 * DAY)["in_flight"] == 2.0
    assert known(*seen, click("redemption", NOON + 4 * DAY), at=NOON + 4 * DAY)["in_flight"] == 2.0


def test_the_last_profile_holds() -> None:
    found = known(profile(age=30), profile(gender="M", income=None))
    assert (found["age"], found["gender_F"], found["gender_M"]) == (40.0, 0.0, 1.0)
    assert isnan(found["income"])
    assert (found["tenure_days"], found["profile_missing"]) == (110.0, 0.0)


def test_who_told_nothing_is_marked() -> None:
    for found in (known(payment()), known(profile(age=None, income=None, opened=None, gender=None))):
        assert found["profile_missing"] == 1.0
        assert isnan(found["age"])
        assert isnan(found["tenure_days"])


def test_the_hour_and_the_weekday_are_those_of_the_decision() -> None:
    found = known(at=NOON + 3 * HOUR)
    assert (found["hour"], found["weekday"]) == (15.0, 0.0)


def test_however_much_is_shown_a_bounded_part_is_waited_for() -> None:
    context = folded(*(click("impression", NOON + at * HOUR, decision_id=f"d-{at}") for at in range(100)))
    assert len(context.shown) == SHOWN
    assert context.whole.impressions == 100


def test_terms_tell_what_the_catalogue_tells() -> None:
    assert Terms("coffee", "bogo", 10.0, 10.0, 5 * DAY, ("web", "email"), cost=10.0) == COFFEE


def test_terms_left_out_are_nothing_and_open_ended() -> None:
    bare = Offer(event_id="o", event_time=moment(NOON), offer="tea")
    assert terms_of(bare) == Terms("tea", "", 0.0, 0.0, OPEN_ENDED * DAY, ())


def test_terms_are_read_again_when_the_entry_changed() -> None:
    terms, first = TermsByOffer(), offer()
    assert terms.of("coffee", first) is terms.of("coffee", first)
    assert terms.of("coffee", offer(reward="3")).reward == 3.0
