"""Wordings: what a feature of the ranker means to the customer, in their words and with their numbers."""

from collections.abc import Callable
from math import exp, isnan
from typing import NamedTuple

from processors.offer_context import KINDS, OfferContext
from processors.offer_tallies import Tally
from processors.offer_terms import Terms
from processors.reasons import Facts


class Told(NamedTuple):
    """What a reason may quote: the customer, the offer, and the features that its score was made from."""

    context: OfferContext
    terms: Terms
    facts: Facts


Wording = Callable[[float, Told], str | None]


def in_words(feature: str, value: float, told: Told) -> str | None:
    """Return what a feature's value means to the customer; None where it is missing or nothing to be told."""
    wording = WORDINGS.get(feature.partition(" where ")[0])
    return None if wording is None or isnan(value) else wording(value, told)


def redeemed(tally: Tally | None, what: str) -> str | None:
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


def _of_category(say: Callable[[Tally | None, str], str | None]) -> Wording:
    def words(value: float, told: Told) -> str | None:
        category = told.terms.category
        return say(told.context.tallies.get(f"in {category}"), f"{category} offers")

    return words


def _of_merchant(say: Callable[[Tally | None, str], str | None]) -> Wording:
    return lambda value, told: say(told.context.tallies.get(f"at {told.terms.merchant}"), "offers of this merchant")


def _category_share(value: float, told: Told) -> str | None:
    return f"{value:.0%} of your payments are for {told.terms.category}" if value > 0.0 else None


def _category_trend(value: float, told: Told) -> str | None:
    more = exp(value)
    return f"You spent {more:.1f}× your usual week on {told.terms.category}" if more > 1.0 else None


def _category_age(value: float, told: Told) -> str:
    when = "today" if value == 0.0 else "1 day ago" if value == 1.0 else f"{value:.0f} days ago"
    return f"You last paid for {told.terms.category} {when}"


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
    "redemption_rate": _of_all(redeemed),
    "blind_redemption_rate": _of_all(redeemed),
    **{f"view_rate_{kind}": _of_kind(kind, _looked_at) for kind in KINDS},
    **{f"redemption_rate_{kind}": _of_kind(kind, redeemed) for kind in KINDS},
    **{f"blind_redemption_rate_{kind}": _of_kind(kind, redeemed) for kind in KINDS},
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
    "category_share": _category_share,
    "category_trend_7d": _category_trend,
    "category_days_since_payment": _category_age,
    "category_view_rate": _of_category(_looked_at),
    "category_redemption_rate": _of_category(redeemed),
    "merchant_view_rate": _of_merchant(_looked_at),
    "merchant_redemption_rate": _of_merchant(redeemed),
}
"""How a feature is put into words; one that is not here is never given as a reason. A cross is told as its feature."""
