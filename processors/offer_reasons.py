"""Reasons for an offer, in the customer's words: each number in them is one that the score was made from."""

from collections.abc import Callable, Iterator
from itertools import chain, islice
from math import isnan
from typing import NamedTuple

from processors.columns import SCALES
from processors.offer_context import KINDS, OfferContext
from processors.offer_features import NAMES
from processors.offer_scoring import Scored
from processors.offer_tallies import Tally
from processors.offer_terms import Candidate, Terms
from processors.reasons import Facts
from processors.smart_score import CATEGORY, KIND, LEANING, TREND, smart_score
from schemas.offer_results import OfferUsage
from schemas.results import Reason

MOST = 3
"""No offer has more reasons than this."""

_LOOKED_AT = 16
"""How many of the largest contributions are put into words; the others say the same, or nothing that can be told."""


class Told(NamedTuple):
    """What a reason may quote: the customer, the offer, and the features that its score was made from."""

    context: OfferContext
    terms: Terms
    facts: Facts


Wording = Callable[[float, Told], str | None]


def reasons_of(scored: Scored, at: int, context: OfferContext, time: int) -> tuple[Reason, ...]:
    """Return at most `MOST` reasons for a candidate, what weighs most first; none where nothing scored it now.

    A model's contributions are in log-odds, those of the rules their shares of the score. What a person is (age,
    gender, income) is never given as a reason, nor what counts against the offer. Beside a model's reasons stands one
    of the customer's habits, which adds nothing to its score.
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
        ("category", CATEGORY * parts.category, _redeemed(tallies.get(f"in {terms.category}"), words)),
        ("kind", KIND * parts.kind, _redeemed(tallies.get(terms.kind), "offers like this")),
        ("trend", TREND * parts.trend, _taken_up(usage)),
        ("freshness", 0.0, "It is new to you" if parts.freshness == 1.0 else None),
        *((reason.feature, max(0.0, LEANING * parts.lean), reason.text) for reason in of_habits(context, terms, time)),
    ]
    for name, share, text in sorted(found, key=lambda each: -each[1]):
        if text is not None:
            yield Reason(name, share, text)


def of_habits(context: OfferContext, terms: Terms, time: int) -> Iterator[Reason]:
    """Yield what the customer's habits and answers say for an offer; none of it is part of a model's score."""
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


def in_words(feature: str, value: float, told: Told) -> str | None:
    """Return what a feature's value means to the customer; None where it is missing or nothing to be told."""
    wording = WORDINGS.get(feature.partition(" where ")[0])
    return None if wording is None or isnan(value) else wording(value, told)


def _redeemed(tally: Tally | None, what: str) -> str | None:
    taken = 0 if tally is None else tally.redemptions + tally.blind
    return None if tally is None or not taken else f"You redeemed {taken} of the {tally.impressions} {what} you got"


def _looked_at(tally: Tally | None, what: str) -> str | None:
    seen = 0 if tally is None else tally.views
    return None if tally is None or not seen else f"You looked at {seen} of the {tally.impressions} {what} you got"


def _of_all(say: Callable[[Tally | None, str], str | None]) -> Wording:
    return lambda value, told: say(told.context.whole, "offers")


def _of_kind(kind: str, say: Callable[[Tally | None, str], str | None]) -> Wording:
    """Return the words for the past of a kind, where the offer is of that kind."""
    return lambda value, told: (
        say(told.context.tallies.get(kind), "offers like this") if told.terms.kind == kind else None
    )


def _of_offer(value: float, told: Told) -> str | None:
    tally = told.context.tallies.get(f"offer {told.terms.offer}")
    taken = 0 if tally is None else tally.redemptions + tally.blind
    return None if tally is None or not taken else f"You redeemed this {taken} of {tally.impressions} times"


def _spending(value: float, told: Told) -> str:
    spent = f"You spend {7 * value:.2f} a week"
    return f"{spent}; {_returned(told)}" if _comparable(told) else spent


def _returned(told: Told) -> str:
    terms = told.terms
    return f"this returns {terms.reward:.2f} on {terms.minimum_spend:.2f}"


def _comparable(told: Told) -> bool:
    """Return whether what the offer gives can stand beside what the customer spends: both in one unit."""
    terms = told.terms
    return terms.reward > 0.0 and terms.minimum_spend > 0.0 and terms.unit in ("", told.context.unit)


def _reach(value: float, told: Told) -> str | None:
    spent = told.facts["spend_per_day_90d"] * told.facts["duration_days"]
    if not _comparable(told) or isnan(spent):
        return None
    days, minimum = told.facts["duration_days"], told.terms.minimum_spend
    return f"You spend {spent:.2f} in {days:g} days; this takes {minimum:.2f}"


def _basket(value: float, told: Told) -> str | None:
    usual = told.facts["basket_90d"]
    return None if isnan(usual) else f"Your usual payment is {usual:.2f}"


def _largest(value: float, told: Told) -> str | None:
    most = told.facts["basket_max_90d"]
    return None if isnan(most) else f"Your largest payment of 90 days was {most:.2f}"


def _trend(shorter: str, longer: str, since: str) -> Wording:
    def words(value: float, told: Told) -> str | None:
        now, usual = told.facts[f"spend_per_day_{shorter}"], told.facts[f"spend_per_day_{longer}"]
        if not now > usual > 0.0:
            return None
        return f"You spend {now / usual:.1f}× as much in {since} as your usual {7 * usual:.2f} a week"

    return words


def _ago(what: str) -> Wording:
    return lambda value, told: f"{what} {value / 24:.1f} days ago"


def _counted(one: str, many: str) -> Wording:
    def words(value: float, told: Told) -> str | None:
        return None if value < 1.0 else one if value == 1.0 else many.format(round(value))

    return words


WORDINGS: dict[str, Wording] = {
    **{f"spend_per_day_{days}d": _spending for days in (7, 30, 90)},
    **{
        f"payments_per_day_{days}d": lambda value, told: f"You pay {7 * value:.1f} times a week" for days in (7, 30, 90)
    },
    **{f"basket_{days}d": lambda value, told: f"Your usual payment is {value:.2f}" for days in (7, 30, 90)},
    "basket_max_90d": _largest,
    "trend_7d_30d": _trend("7d", "30d", "the last 7 days"),
    "trend_30d_90d": _trend("30d", "90d", "the last 30 days"),
    "hours_since_payment": _ago("You last paid"),
    "view_rate": _of_all(_looked_at),
    "redemption_rate": _of_all(_redeemed),
    "blind_redemption_rate": _of_all(_redeemed),
    **{f"view_rate_{kind}": _of_kind(kind, _looked_at) for kind in KINDS},
    **{f"redemption_rate_{kind}": _of_kind(kind, _redeemed) for kind in KINDS},
    **{f"blind_redemption_rate_{kind}": _of_kind(kind, _redeemed) for kind in KINDS},
    "hours_since_view": _ago("You last looked at an offer"),
    "hours_since_redemption": _ago("You last redeemed an offer"),
    "in_flight": _counted("You have 1 offer open", "You have {} offers open"),
    "in_flight_seen": _counted("You have 1 offer open that you saw", "You have {} offers open that you saw"),
    "tenure_days": lambda value, told: f"You have been with us for {value:.0f} days" if value >= 1.0 else None,
    "reward": lambda value, told: f"This gives {value:.2f}" if value > 0.0 else None,
    "minimum_spend": lambda value, told: f"This takes a spend of {value:.2f}" if value > 0.0 else None,
    "duration_days": lambda value, told: f"You have {value:g} days to redeem it",
    "reward_share": lambda value, told: f"This returns {value:.0%} of what it takes" if value > 0.0 else None,
    "offer_redemption_rate": _of_offer,
    "offer_blind_redemption_rate": _of_offer,
    "offer_impressions": lambda value, told: "It is new to you" if value == 0.0 else None,
    "spend_to_minimum": _reach,
    "recent_spend_to_minimum": _reach,
    "basket_to_minimum": _basket,
    "largest_basket_to_minimum": _largest,
}
"""How a feature is put into words; one that is not here is never given as a reason. A cross is told as its feature."""
