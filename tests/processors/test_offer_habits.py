"""Habits: spending by category as a scan of all payments has it, and answers only with the consent they take."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.offer_context import OfferContext, introduce, new_context, pay
from processors.offer_habits import CATEGORIES, DAYS, PERSONAL, Habits, Trend
from processors.offer_reasons import of_habits
from processors.offer_terms import Candidate, Terms, terms_of
from processors.smart_score import is_anything_known, smart_score, smart_scores
from schemas.records import DAY
from schemas.topics import PROFILES
from tests.builders import NOON
from tests.processors.offer_world import offer, payment, profile

COFFEE = terms_of(offer(category="coffee", reward="1", minimum_spend=10))
CAKE = terms_of(offer("cake", category="cake"))
PAID = st.lists(
    st.tuples(st.integers(0, 200), st.integers(1, 9_999), st.sampled_from(("coffee", "cake"))), min_size=1, max_size=60
)


def habits(*paid: tuple[int, int, str]) -> Habits:
    """Return the habits after payments: the day, the cents and the category of each."""
    found = Habits()
    for number, (day, cents, category) in enumerate(paid):
        found.pay(payment(NOON + day * DAY, f"{cents / 100:.2f}", f"tx-{number}", mcc=category))
    return found


def told(consent: tuple[str, ...] = (PERSONAL,), **preferences: float | str) -> OfferContext:
    context = new_context(NOON)
    introduce(context, profile(consent=consent, preferences=preferences))
    return context


def reasons(context: OfferContext, terms: Terms, at: int) -> list[str]:
    return [reason.text for reason in of_habits(context, terms, at)]


@given(PAID.map(sorted))
def test_shares_and_windows_equal_a_scan_of_all_payments(paid: list[tuple[int, int, str]]) -> None:
    found, last = habits(*paid), paid[-1][0]
    recent = [(category, cents) for day, cents, category in paid if day > last - DAYS]
    for category in {category for category, _ in recent}:
        counted = sum(each == category for each, _ in recent)
        assert found.shares(NOON + last * DAY)[category] == pytest.approx(counted / len(recent))
        for days in (7, 30, 90):
            expected = [cents for day, cents, each in paid if each == category and day > last - days]
            spent, at = found.spending[category], NOON + last * DAY
            assert (spent.count(at, days), spent.total(at, days)) == (len(expected), sum(expected))


@given(PAID, st.randoms(use_true_random=False))
def test_the_order_of_payments_does_not_matter_within_the_window(paid: list[tuple[int, int, str]], chance: Any) -> None:
    near = [(day % DAYS, cents, "coffee") for day, cents, _ in paid]
    mixed = near.copy()
    chance.shuffle(mixed)
    assert habits(*near).spending["coffee"].days == habits(*mixed).spending["coffee"].days


def test_a_trend_is_the_last_30_days_beside_what_is_usual_before() -> None:
    paid = [(0, 2_400, "coffee"), (31, 2_400, "coffee"), (65, 7_000, "coffee"), (89, 440, "coffee")]
    assert habits(*paid).trend("coffee", NOON + 89 * DAY) == Trend(7_440, 2_400.0, "EUR")


def test_a_trend_of_a_week_is_beside_the_usual_week_before() -> None:
    paid = habits((0, 700, "coffee"), (10, 1_400, "coffee"), (20, 900, "coffee"))
    assert paid.trend("coffee", NOON + 20 * DAY, days=7) == Trend(900, 1_050.0, "EUR")
    assert paid.trend("coffee", NOON + 12 * DAY, days=7) is None


def test_a_category_was_last_paid_in_so_many_days_ago() -> None:
    paid = habits((0, 700, "coffee"), (10, 1_400, "coffee"))
    assert [paid.days_since("coffee", NOON + day * DAY) for day in (9, 10, 30)] == [0, 0, 20]
    assert paid.days_since("cake", NOON) is None


def test_a_trend_takes_a_month_before_the_last_one() -> None:
    young = habits((0, 100, "coffee"), (58, 100, "coffee"))
    assert young.trend("coffee", NOON + 58 * DAY) is None
    assert young.trend("coffee", NOON + 59 * DAY) == Trend(100, 100.0, "EUR")
    assert young.trend("cake", NOON + 59 * DAY) is None


def test_units_are_never_added_up() -> None:
    found = habits((0, 500, "coffee"))
    found.pay(payment(NOON + DAY, "7", "tx-miles", currency="MILES", mcc="coffee"))
    spent = found.spending["coffee"]
    assert (spent.count(NOON + DAY, DAYS), spent.total(NOON + DAY, DAYS)) == (1, 7)


def test_the_category_is_the_payments_own_field_else_its_mcc() -> None:
    found = Habits()
    for each in (payment(category="coffee", mcc="5814"), payment(mcc="5814"), payment(), payment(category=7)):
        found.pay(each)
    assert set(found.spending) == {"coffee", "5814"}


def test_so_many_categories_are_remembered_and_the_one_of_longest_ago_goes_first() -> None:
    found = habits(*((day, 100, f"c{day}") for day in range(CATEGORIES)), (20, 100, "c0"), (21, 100, "new"))
    assert set(found.spending) == {"c0", "new", *(f"c{day}" for day in range(2, CATEGORIES))}


def test_a_quiz_is_used_only_with_consent_and_forgotten_when_it_is_withdrawn() -> None:
    assert told(coffee=0.8, favourite="cake").habits.likes == {"coffee": 0.8, "cake": 1.0}
    assert told((), coffee=0.8).habits.likes == {}
    context = told(coffee=0.8)
    introduce(context, profile(consent=("marketing",), preferences={"coffee": 0.8}))
    assert context.habits.likes == {}


@pytest.mark.parametrize("preferences", [{"coffee": 2}, {"coffee": -0.1}, {"": 1}, {"favourite": ""}, {"x": "y" * 300}])
def test_an_answer_that_cannot_be_is_refused(preferences: dict[str, Any]) -> None:
    whole = {**profile().model_dump(mode="json"), "preferences": preferences}
    (answer,) = PROFILES.decode_batch([str(whole).replace("None", "null").replace("'", '"').encode()])
    assert type(answer).__name__ == "BadMessage"


def test_rules_lean_to_what_is_liked_and_from_what_is_not() -> None:
    def score(context: OfferContext) -> float:
        return smart_score(context, Candidate(COFFEE), NOON).score

    nothing = score(new_context(NOON))
    assert score(told(coffee=0.0)) < score(told(coffee=0.5)) == nothing < score(told(coffee=0.9)) < 1.0
    assert score(told(kind="bogo")) > nothing
    assert is_anything_known(told(coffee=1.0), [Candidate(COFFEE)])


def test_rules_lean_to_where_a_customer_pays() -> None:
    context = new_context(NOON)
    for number in range(4):
        pay(context, payment(NOON + number, event_id=f"tx-{number}", mcc="coffee" if number else "cake"))
    coffee, cake = smart_scores(context, [Candidate(COFFEE), Candidate(CAKE)], NOON + 4)
    assert coffee > cake
    assert smart_score(context, Candidate(COFFEE), NOON + 4).lean == 0.75


def test_reasons_quote_what_was_spent_and_told() -> None:
    context = told(coffee=0.9)
    for number, (day, cents) in enumerate([(0, 2_400), (31, 2_400), (65, 7_440)]):
        pay(context, payment(NOON + day * DAY, f"{cents / 100:.2f}", f"tx-{number}", mcc="coffee"))
    assert reasons(context, COFFEE, NOON + 89 * DAY) == [
        "You spent 3.1× your usual 24.00 on coffee in 30 days; this returns 10% of what it takes",
        "You told us that you like coffee",
    ]
    assert reasons(context, CAKE, NOON + 89 * DAY) == []


def test_who_spends_no_more_than_usual_is_told_nothing() -> None:
    context = new_context(NOON)
    for day in (0, 31, 65):
        pay(context, payment(NOON + day * DAY, "24.00", f"tx-{day}", mcc="coffee"))
    assert reasons(context, COFFEE, NOON + 89 * DAY) == []
