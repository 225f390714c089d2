"""Eligibility: whether an offer may be shown to a customer now, and if not, why."""

from typing import Literal, cast

from processors.offer_context import Demographics, OfferContext
from processors.offer_history import WEEK, Had
from processors.offer_terms import DECIMALS, Limits, Terms
from schemas.offer_results import OfferUsage

Refusal = Literal[
    "unknown",
    "paused",
    "expired",
    "not_started",
    "over",
    "segment",
    "consent",
    "stock",
    "budget",
    "pacing",
    "customer_cap",
    "frequency_cap",
    "cool_down",
    "exclusive",
    "risk",
]
"""Why an offer is no candidate. `unknown` is one that the catalogue of the customer's tenant does not have; `risk` is
the customer's, who may abuse any offer."""


def refusal(terms: Terms, context: OfferContext, usage: OfferUsage | None, time: int) -> Refusal | None:
    """Return the first reason why an offer may not be shown at `time`, None when it may.

    `usage` is what all customers together have had of it, as far as that is counted: a budget that is spent by many at
    once can be passed by what is under way.
    """
    limits = terms.limits
    return (
        closed(limits, time)
        or _not_for(limits, context.demographics)
        or _used_up(terms, usage)
        or _ahead_of_plan(limits, usage, time)
        or _had_enough(limits, context.history.had.get(terms.offer), time)
        or _excluded(limits, context, time)
    )


def closed(limits: Limits, time: int) -> Refusal | None:
    """Return why an offer is open to nobody at `time`, None when it is."""
    if limits.status != "active":
        return "paused" if limits.status == "paused" else "expired"
    if limits.starts is not None and time < limits.starts:
        return "not_started"
    return "over" if limits.ends is not None and time > limits.ends else None


def _not_for(limits: Limits, known: Demographics | None) -> Refusal | None:
    if limits.segments and (known is None or known.segment not in limits.segments):
        return "segment"
    if limits.consent is not None and (known is None or limits.consent not in known.consent):
        return "consent"
    return None


def _used_up(terms: Terms, usage: OfferUsage | None) -> Refusal | None:
    limits = terms.limits
    redemptions, spent = (0, 0.0) if usage is None else (usage.redemptions, usage.spent)
    if limits.stock is not None and redemptions >= limits.stock:
        return "stock"
    if limits.budget is not None and (spent >= limits.budget or round(spent + terms.cost, DECIMALS) > limits.budget):
        return "budget"
    return None


def _ahead_of_plan(limits: Limits, usage: OfferUsage | None, time: int) -> Refusal | None:
    """Return whether a budget that is to last has been spent faster than evenly from start to end."""
    if not limits.paced or usage is None or None in (limits.starts, limits.ends, limits.budget):
        return None
    starts, ends, budget = cast("tuple[int, int, float]", (limits.starts, limits.ends, limits.budget))
    return "pacing" if usage.spent > budget * (time - starts) / max(1, ends - starts) else None


def _had_enough(limits: Limits, had: Had | None, time: int) -> Refusal | None:
    if had is None:
        return None
    if limits.most_per_customer is not None and had.redemptions >= limits.most_per_customer:
        return "customer_cap"
    if limits.shows_per_week is not None and sum(at > time - WEEK for at in had.shows) >= limits.shows_per_week:
        return "frequency_cap"
    if had.redeemed_at is not None and time < had.redeemed_at + limits.cool_down:
        return "cool_down"
    return None


def _excluded(limits: Limits, context: OfferContext, time: int) -> Refusal | None:
    if not limits.exclusive_of:
        return None
    open_ = {shown.offer for shown in context.shown if shown.end >= time and not shown.redeemed}
    return None if open_.isdisjoint(limits.exclusive_of) else "exclusive"
