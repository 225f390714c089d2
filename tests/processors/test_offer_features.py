"""Features of a candidate that its category, its merchant and what the customer told bear on."""

import re
from fnmatch import fnmatchcase
from math import isnan, log, nan
from pathlib import Path
from typing import Any

import pytest

from processors.offer_answers import answer, show
from processors.offer_context import OfferContext, introduce, new_context, pay
from processors.offer_features import (
    CATEGORY,
    FEATURES_ID,
    MERCHANT,
    NAMES,
    RELEASED,
    TASTES,
    WIDTHS,
    candidate_vectors,
    features_id,
)
from processors.offer_habits import PERSONAL
from processors.offer_tallies import MERCHANTS, PRIOR, SHOWN
from processors.offer_terms import Terms, terms_of
from schemas.records import DAY
from tests.builders import HOUR, NOON
from tests.processors.offer_world import click, offer, payment, profile

COFFEE = terms_of(offer(category="coffee", merchant="bean-bar"))
CAKE = terms_of(offer("cake", category="cake", kind="discount", merchant="bakery"))
PLAIN = terms_of(offer("plain"))


def values(context: OfferContext, terms: Terms, at: int = NOON) -> dict[str, float]:
    return dict(zip(NAMES, candidate_vectors(context, [terms], at)[0].tolist(), strict=True))


def paying(*paid: tuple[int, str, str]) -> OfferContext:
    """Return the context after payments: how many days ago, the amount and the category of each."""
    context = new_context(NOON - 100 * DAY)
    for number, (ago, amount, category) in enumerate(paid):
        pay(context, payment(NOON - ago * DAY, amount, f"tx-{number}", mcc=category))
    return context


def shown(*offers: Terms) -> OfferContext:
    context = new_context(NOON)
    for number, terms in enumerate(offers):
        show(context, f"d-{number}", terms, NOON + number)
    return context


def test_the_share_of_a_category_is_that_of_the_payments_made_in_it() -> None:
    context = paying((1, "3.00", "coffee"), (2, "9.00", "cake"), (3, "1.00", "cake"), (4, "1.00", "cake"))
    assert values(context, COFFEE)["category_share"] == 0.25
    assert values(context, terms_of(offer(category="books")))["category_share"] == 0.0
    assert isnan(values(context, PLAIN)["category_share"])
    assert isnan(values(new_context(NOON), COFFEE)["category_share"])


def test_trends_of_a_category_are_logarithms_of_what_is_spent_now_over_what_is_usual() -> None:
    context = paying((59, "6.00", "coffee"), (20, "2.00", "coffee"), (1, "10.00", "coffee"))
    found = values(context, COFFEE)
    assert found["category_trend_30d"] == pytest.approx(log(12.1 / 6.1))
    assert found["category_trend_7d"] == pytest.approx(log(10.1 / (8.0 * 7 / 53 + 0.1)))
    assert found["category_days_since_payment"] == 1.0


def test_of_a_category_never_paid_in_there_is_no_trend() -> None:
    found = values(paying((1, "10.00", "coffee")), CAKE)
    assert all(isnan(found[name]) for name in ("category_trend_7d", "category_trend_30d"))
    assert isnan(found["category_days_since_payment"])


def test_what_the_customer_told_to_like_is_a_feature_only_with_consent() -> None:
    context = new_context(NOON)
    introduce(context, profile(consent=(PERSONAL,), preferences={"coffee": 0.2, "discount": 0.9}))
    assert [values(context, terms)["liking"] for terms in (COFFEE, CAKE)] == [0.2, 0.9]
    introduce(context, profile(preferences={"coffee": 0.2}))
    assert isnan(values(context, COFFEE)["liking"])


def test_rates_of_category_and_merchant_are_drawn_to_those_of_all_offers() -> None:
    context = shown(COFFEE, CAKE)
    for kind, at in (("view", NOON + HOUR), ("redemption", NOON + 2 * HOUR)):
        answer(context, click(kind, at, offer="coffee", decision_id=None))
    view, redemption = (1 + 2 * PRIOR[0]) / 4, (1 + 2 * PRIOR[1]) / 4
    taken, left = values(context, COFFEE), values(context, CAKE)
    for of in ("category", "merchant"):
        assert taken[f"{of}_view_rate"] == pytest.approx((1 + 2 * view) / 3)
        assert taken[f"{of}_redemption_rate"] == pytest.approx((1 + 2 * redemption) / 3)
        assert left[f"{of}_redemption_rate"] == pytest.approx(2 * redemption / 3)
    unseen = values(context, terms_of(offer("tea", category="tea", merchant="tea-house")))
    assert unseen["merchant_view_rate"] == unseen["category_view_rate"] == pytest.approx(view)


def test_an_offer_that_tells_no_category_and_no_merchant_has_no_past_of_them() -> None:
    found = values(shown(PLAIN), PLAIN)
    assert all(isnan(found[name]) for name in (*CATEGORY, *MERCHANT))
    assert not {"in ", "at "} & shown(PLAIN).tallies.keys()


def test_merchants_shown_longest_ago_are_forgotten_and_never_one_that_waits() -> None:
    offers = [terms_of(offer(f"o{number}", merchant=f"m{number}")) for number in range(MERCHANTS + 3)]
    context = shown(*offers[:3], *offers, offers[5])
    merchants = [name for name in context.tallies if name.startswith("at ")]
    assert merchants == [f"at m{number}" for number in (3, 4, *range(6, MERCHANTS + 3), 5)]
    assert MERCHANTS >= SHOWN
    assert {f"at {each.merchant}" for each in context.shown} <= set(merchants)
    assert context.tallies["at m5"].impressions == 2


def test_candidates_alike_in_category_have_each_their_own_row() -> None:
    context = paying((1, "3.00", "coffee"), (2, "9.00", "cake"), (3, "1.00", "cake"))
    catalogue = [COFFEE, CAKE, PLAIN, terms_of(offer("mocha", category="coffee"))]
    rows = candidate_vectors(context, catalogue, NOON)
    shares = rows[:, NAMES.index("category_share")]
    assert shares[[0, 1, 3]] == pytest.approx([1 / 3, 2 / 3, 1 / 3])
    assert isnan(shares[2])
    assert [row.tolist() for row in rows] == [pytest.approx(_alone(context, each), nan_ok=True) for each in catalogue]


def _alone(context: OfferContext, terms: Terms) -> Any:
    return candidate_vectors(context, [terms], NOON)[0].tolist()


def test_new_features_stand_behind_the_old_ones_whose_vectors_are_known_by_their_id() -> None:
    assert NAMES[-len(TASTES) :] == TASTES
    assert [features_id(names) for names in RELEASED] == ["c5f7b81dbc34", FEATURES_ID]
    assert WIDTHS["c5f7b81dbc34"] == 109
    assert WIDTHS[FEATURES_ID] == len(NAMES) == len(WIDTHS)


def test_every_feature_is_on_the_page_of_offers() -> None:
    page = (Path(__file__).parents[2] / "docs" / "offers.md").read_text()
    [section] = re.findall(r"## What is known of a customer\n(.*?)\n## ", page, re.DOTALL)
    cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("|")]
    patterns = re.findall(r"`([^`]+)`", " ".join(cells))
    assert [name for name in NAMES if not any(fnmatchcase(name, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in NAMES)] == []


def test_a_customer_nobody_knows_has_no_tastes() -> None:
    found = values(new_context(NOON), PLAIN)
    assert [found[name] for name in TASTES] == pytest.approx([nan] * len(TASTES), nan_ok=True)
