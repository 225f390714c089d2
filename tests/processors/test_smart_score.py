"""The rules: rates of category, kind and everybody, less for what was shown just now, until a model is published."""

import pytest

from processors.offer_answers import answer, show
from processors.offer_context import OfferContext, new_context
from processors.offer_tallies import PRIOR
from processors.offer_terms import Candidate, terms_of
from processors.smart_score import FADING, TREND_WEIGHT, SmartScore, is_anything_known, smart_score, smart_scores
from tests.builders import HOUR, NOON
from tests.processors.offer_world import click, offer, usage

COFFEE = Candidate(terms_of(offer(category="drinks")))
CAKE = Candidate(terms_of(offer("cake", kind="discount", category="food")))
LATER = NOON + 1_000 * FADING


def context_after(*kinds: str) -> OfferContext:
    """Return the context of a customer who was shown coffee and then did this."""
    context = new_context(NOON)
    show(context, "d-1", COFFEE.terms, NOON)
    for number, kind in enumerate(kinds):
        answer(context, click(kind, NOON + number * HOUR))
    return context


def test_a_score_is_the_weighted_mean_of_the_rates_times_freshness() -> None:
    assert SmartScore(1.0, 1.0, 1.0, 1.0).score == pytest.approx(1.0)
    assert SmartScore(0.5, 0.2, 0.1, 0.8).score == pytest.approx(0.8 * (0.2 + 0.06 + 0.03))


def test_without_a_past_all_rates_are_the_prior() -> None:
    assert smart_score(new_context(NOON), COFFEE, NOON) == SmartScore(PRIOR[1], PRIOR[1], PRIOR[1], 1.0)
    assert not is_anything_known(new_context(NOON), [COFFEE])


def test_what_was_redeemed_raises_its_category_and_its_kind_above_others() -> None:
    context = context_after("view", "redemption")
    coffee, cake = smart_score(context, COFFEE, LATER), smart_score(context, CAKE, LATER)
    assert coffee.category > cake.category > PRIOR[1]
    assert coffee.kind > cake.kind
    refused = smart_score(context_after("view"), COFFEE, LATER)
    assert refused.category < PRIOR[1]


def test_a_redemption_unseen_is_no_success_of_showing() -> None:
    assert smart_score(context_after("redemption"), COFFEE, LATER).category < PRIOR[1]


def test_the_trend_is_how_everybody_took_it_up_drawn_to_the_prior() -> None:
    def trend(impressions: int, redemptions: int) -> float:
        used = usage(impressions=impressions, redemptions=redemptions)
        return smart_score(new_context(NOON), Candidate(COFFEE.terms, used), NOON).trend

    assert trend(20, 10) == pytest.approx((10 + TREND_WEIGHT * PRIOR[1]) / (20 + TREND_WEIGHT))
    assert trend(1, 1_000) == 1.0


def test_what_was_just_shown_comes_back_as_it_fades() -> None:
    freshness = [smart_score(context_after(), COFFEE, at).freshness for at in (NOON, NOON + FADING, LATER)]
    assert freshness == [0.5, pytest.approx(1 - 0.5 / 2.718281828), 1.0]
    assert smart_score(context_after(), CAKE, NOON).freshness == 1.0


def test_many_are_scored_as_each_alone() -> None:
    context = context_after("view", "redemption")
    together = smart_scores(context, [COFFEE, CAKE], LATER)
    assert together.tolist() == [smart_score(context, each, LATER).score for each in (COFFEE, CAKE)]
    assert is_anything_known(context, [])
