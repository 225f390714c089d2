"""Reasons for an offer, in the customer's words: each number in them is one that the score was made from."""

from collections.abc import Iterator
from itertools import chain, islice

from processors.columns import SCALES
from processors.offer_context import OfferContext
from processors.offer_features import NAMES
from processors.offer_scoring import Scored
from processors.offer_terms import Candidate, Terms
from processors.offer_wordings import Told, in_words, redeemed
from processors.reasons import Facts
from processors.smart_score import CATEGORY, KIND, LEANING, TREND, smart_score
from schemas.offer_results import OfferUsage
from schemas.results import Reason

MOST = 3
"""No offer has more reasons than this."""

_LOOKED_AT = 16
"""How many of the largest contributions are put into words; the others say the same, or nothing that can be told."""


def reasons_of(scored: Scored, at: int, context: OfferContext, time: int) -> tuple[Reason, ...]:
    """Return at most `MOST` reasons for a candidate, what weighs most first; none where nothing scored it now.

    A model's contributions are in log-odds, those of the rules their shares of the score. What a person is (age,
    gender, income) is never given as a reason, nor what counts against the offer. Beside a model's reasons stands one
    of the customer's habits, whatever that adds to its score.
    """
    found: Iterator[Reason]
    match scored.source:
        case "model":
            own = tuple(islice(of_habits(context, scored.candidates[at].terms, time), 1))
            found = chain(islice(_distinct(_of_model(scored, at, context)), MOST - len(own)), own)
        case "rules":
            found = _of_rules(context, scored.candidates[at], time)
        case "prior" | "last_good":
            return ()
    return tuple(islice(_distinct(found), MOST))


def _distinct(reasons: Iterator[Reason]) -> Iterator[Reason]:
    said: set[str] = set()
    for reason in reasons:
        if reason.text not in said:
            said.add(reason.text)
            yield reason


def _of_model(scored: Scored, at: int, context: OfferContext) -> Iterator[Reason]:
    if scored.ranker is None:
        return
    x = scored.vectors[at]
    explained = scored.ranker.explain_one(x, _LOOKED_AT)
    told = Told(context, scored.candidates[at].terms, Facts(NAMES, x.tolist()))
    for feature in explained.largest:
        text = in_words(NAMES[feature], float(x[feature]), told)
        if text is not None:
            yield Reason(NAMES[feature], float(explained.contributions[feature]), text)


def _of_rules(context: OfferContext, candidate: Candidate, time: int) -> Iterator[Reason]:
    parts, (terms, usage) = smart_score(context, candidate, time), candidate
    tallies, words = context.tallies, f"offers of {terms.category}"
    found = [
        ("category", CATEGORY * parts.category, redeemed(tallies.get(f"in {terms.category}"), words)),
        ("kind", KIND * parts.kind, redeemed(tallies.get(terms.kind), "offers like this")),
        ("trend", TREND * parts.trend, _taken_up(usage)),
        ("freshness", 0.0, "It is new to you" if parts.freshness == 1.0 else None),
        *((reason.feature, max(0.0, LEANING * parts.lean), reason.text) for reason in of_habits(context, terms, time)),
    ]
    for name, share, text in sorted(found, key=lambda each: -each[1]):
        if text is not None:
            yield Reason(name, share, text)


def of_habits(context: OfferContext, terms: Terms, time: int) -> Iterator[Reason]:
    """Yield what the customer's habits and answers say for an offer, which weighs 0 as told here."""
    trend = context.habits.trend(terms.category, time)
    if trend is not None and trend.now > trend.usual > 0.0:
        usual = trend.usual / SCALES.get(trend.unit, 1)
        words = f"You spent {trend.now / trend.usual:.1f}× your usual {usual:.2f} on {terms.category} in 30 days"
        if terms.reward > 0.0 and terms.minimum_spend > 0.0:
            words += f"; this returns {terms.reward / terms.minimum_spend:.0%} of what it takes"
        yield Reason("category_trend", 0.0, words)
    for liked in (terms.category, terms.kind):
        if context.habits.likes.get(liked, 0.0) > 0.5:
            yield Reason("likes", 0.0, f"You told us that you like {liked}")


def _taken_up(usage: OfferUsage | None) -> str | None:
    if usage is None or not usage.redemptions:
        return None
    return f"It was redeemed {usage.redemptions} times in {usage.impressions} shows"
