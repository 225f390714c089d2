"""What an offer asks and gives, and to whom it may be shown, read off the catalogue in one place."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from schemas.events import Offer
from schemas.offer_results import OfferUsage
from schemas.records import DAY

OPEN_ENDED = 30
"""Days that an offer which does not tell its duration can be redeemed after it was shown."""

DECIMALS = 8
"""Sums of amounts are rounded to what the finest unit is exact to."""


class Limits(msgspec.Struct, frozen=True, gc=False):
    """When, to whom and how often an offer may be shown; None is without limit. All times are in milliseconds."""

    status: str = "active"
    starts: int | None = None
    ends: int | None = None
    segments: tuple[str, ...] = ()
    consent: str | None = None
    budget: float | None = None
    stock: int | None = None
    most_per_customer: int | None = None
    shows_per_week: int | None = None
    cool_down: int = 0
    exclusive_of: tuple[str, ...] = ()
    paced: bool = False


class Terms(msgspec.Struct, frozen=True, cache_hash=True):
    """What an offer asks and gives: its kind, the reward, the least spend it takes, how long and where it is open.

    Amounts are in `unit`; `duration` is in milliseconds from the moment it is shown. `cost` is what a redemption costs
    us and `worth` what we earn on one after that, None where nobody tells.
    """

    offer: str
    kind: str
    reward: float
    minimum_spend: float
    duration: int
    channels: tuple[str, ...]
    category: str = ""
    unit: str = ""
    cost: float = 0.0
    worth: float | None = None
    limits: Limits = Limits()
    merchant: str = ""


def terms_of(offer: Offer) -> Terms:
    """Return the terms of an entry of the catalogue; what it does not tell is nothing, or open-ended."""
    cost = float((offer.reward if offer.cost is None else offer.cost) or 0)
    return Terms(
        offer.offer,
        offer.kind or "",
        float(offer.reward or 0),
        float(offer.minimum_spend or 0),
        round((offer.duration_days or OPEN_ENDED) * DAY),
        offer.channels,
        offer.category or "",
        offer.reward_unit or "",
        cost,
        None if offer.margin is None else float(offer.margin) - cost,
        _limits(offer),
        offer.merchant or "",
    )


def _limits(offer: Offer) -> Limits:
    return Limits(
        status=offer.status,
        starts=_milliseconds(offer.starts),
        ends=_milliseconds(offer.ends),
        segments=offer.segments,
        consent=offer.consent,
        budget=None if offer.budget is None else float(offer.budget),
        stock=offer.stock,
        most_per_customer=offer.most_per_customer,
        shows_per_week=offer.shows_per_week,
        cool_down=round((offer.cool_down_days or 0) * DAY),
        exclusive_of=offer.exclusive_of,
        paced=offer.paced,
    )


def _milliseconds(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)


class Candidate(NamedTuple):
    """An offer that may be shown, and what all customers have had of it: None where nothing was counted yet."""

    terms: Terms
    usage: OfferUsage | None = None


class TermsByOffer:
    """The terms of each entry of a catalogue, read again only when the entry has changed."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[Offer, Terms]] = {}

    def of(self, key: str, offer: Offer) -> Terms:
        """Return the terms of the entry now under `key`."""
        known = self._read.get(key)
        if known is None or known[0] is not offer:
            known = self._read[key] = (offer, terms_of(offer))
        return known[1]
