"""SmartScore: rules that score offers until a ranker has learned enough to."""

from collections.abc import Sequence
from math import exp
from typing import NamedTuple

import numpy as np

from online_models.base import Vector
from processors.offer_context import OfferContext
from processors.offer_tallies import PRIOR, rates_of
from processors.offer_terms import Candidate
from schemas.offer_results import OfferUsage
from schemas.records import DAY

CATEGORY, KIND, TREND = 0.40, 0.30, 0.30
"""What share of a score each rate has."""

LEANING = 0.3
"""What share of the way to 1, or to 0, the rates are moved for what the customer likes, or dislikes, for sure."""

TREND_WEIGHT = 20.0
"""How many shows the prior of an offer's rate over all customers counts for."""

STALE = 0.5
"""What share of its score an offer loses that was shown this moment."""

FADING = 7 * DAY
"""The time in which that loss falls to 1 / e."""


class SmartScore(NamedTuple):
    """The parts of a score: rates in [0, 1] of category, kind and trend, and freshness in (0, 1].

    `category` and `kind` are how often the customer redeemed, after a view, what they were shown of it, drawn to their
    rate over all offers. `trend` is how often all customers redeemed the offer. `lean` in [−1, 1] is how much the
    customer told to like or dislike such offers, else the share of their payments made in the offer's category.
    """

    category: float
    kind: float
    trend: float
    freshness: float
    lean: float = 0.0

    @property
    def score(self) -> float:
        """Return the score in [0, 1]: the mean of the rates by weight, moved by the lean, times freshness."""
        rate = CATEGORY * self.category + KIND * self.kind + TREND * self.trend
        return self.freshness * (rate + LEANING * self.lean * (1.0 - rate if self.lean > 0.0 else rate))


def is_anything_known(context: OfferContext, candidates: Sequence[Candidate]) -> bool:
    """Return whether rules can tell offers apart: the customer, or anybody, was shown some, or has habits or likes."""
    if context.whole.impressions or context.habits.spending or context.habits.likes:
        return True
    return any(candidate.usage is not None for candidate in candidates)


def smart_scores(context: OfferContext, candidates: Sequence[Candidate], time: int) -> Vector:
    """Return the score of each candidate. Changes nothing."""
    rules = _Rules(context, time)
    return np.array([rules.parts(each).score for each in candidates], dtype=np.float64)


def smart_score(context: OfferContext, candidate: Candidate, time: int) -> SmartScore:
    """Return the parts of an offer's score. Changes nothing."""
    return _Rules(context, time).parts(candidate)


class _Rules:
    """The rules for one customer at one moment: what several offers have in common is worked out once."""

    def __init__(self, context: OfferContext, time: int) -> None:
        self._habits = context.habits
        self._time = time
        self._shares = context.habits.shares(time)
        self._tallies = context.tallies
        self._overall = context.whole.rates(PRIOR)
        self._rates: dict[str, float] = {}
        self._last: dict[str, int] = {}
        for shown in context.shown:
            self._last[shown.offer] = max(shown.at, self._last.get(shown.offer, shown.at))

    def parts(self, candidate: Candidate) -> SmartScore:
        """Return the parts of an offer's score."""
        terms, usage = candidate
        told = self._habits.liking(terms.category, terms.kind)
        lean = self._shares.get(terms.category, 0.0) if told is None else 2.0 * told - 1.0
        kind = self._rate(terms.kind)
        category = self._rate(f"in {terms.category}") if terms.category else kind
        return SmartScore(category, kind, _trend(usage), self._freshness(terms.offer), lean)

    def _rate(self, tally: str) -> float:
        known = self._rates.get(tally)
        if known is None:
            known = self._rates[tally] = rates_of(self._tallies, tally, self._overall)[1]
        return known

    def _freshness(self, offer: str) -> float:
        last = self._last.get(offer)
        return 1.0 if last is None else 1.0 - STALE * exp(min(0, last - self._time) / FADING)


def _trend(usage: OfferUsage | None) -> float:
    if usage is None:
        return PRIOR[1]
    return min(1.0, (usage.redemptions + TREND_WEIGHT * PRIOR[1]) / (usage.impressions + TREND_WEIGHT))
