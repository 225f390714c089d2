"""Usage: what all customers together have had of an offer, and what that has cost, for budgets and stock."""

from collections.abc import Iterable

import msgspec

from processors.base import Said, Tables
from processors.offer_terms import DECIMALS
from schemas.events import Offer
from schemas.offer_results import OfferEvent, OfferUsage
from schemas.offer_topics import OFFER_EVENTS, OFFER_USAGE
from schemas.records import AnyRecord
from schemas.topics import OFFERS


class Counts(msgspec.Struct, array_like=True, gc=False):
    """How often an offer was shown, seen and redeemed, and what that has cost in the offer's unit.

    What was taken back is in `reversals`, and no longer in `redemptions` and `spent`.
    """

    impressions: int = 0
    views: int = 0
    redemptions: int = 0
    spent: float = 0.0
    reversals: int = 0


class OfferUsageCounter:
    """Counts what happens with an offer, and says the sums each time: the ranker looks them up for its limits.

    An offer is counted from its first entry in the catalogue on, with nothing had of it yet. Every event counts; the
    ranker says each only once. A cost is of the unit that the offer has when it is redeemed; a reversal gives it back.
    """

    name = "offer-usage"
    inputs = (OFFERS, OFFER_EVENTS)
    outputs = (OFFER_USAGE,)
    tables = ()
    state = Counts

    def step(self, state: Counts | None, record: AnyRecord, tables: Tables) -> tuple[Counts | None, Iterable[Said]]:
        """Return the counts with one event more, and say them; an entry that changes an offer changes no count."""
        match record.message:
            case Offer() as entry:
                if state is not None:
                    return state, ()
                counts, unit = Counts(), entry.reward_unit or ""
            case OfferEvent() as event:
                counts, unit = _more(state or Counts(), event), event.unit
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")
        return counts, (Said(OFFER_USAGE, _usage(record.message, record.time, unit, counts)),)


def _more(counts: Counts, event: OfferEvent) -> Counts:
    match event.kind:
        case "impression":
            counts.impressions += 1
        case "view":
            counts.views += 1
        case "redemption":
            counts.redemptions += 1
            counts.spent = round(counts.spent + event.cost, DECIMALS)
        case "reversal":
            counts.reversals += 1
            counts.redemptions = max(0, counts.redemptions - 1)
            counts.spent = max(0.0, round(counts.spent - event.cost, DECIMALS))
    return counts


def _usage(event: Offer | OfferEvent, time: int, unit: str, counts: Counts) -> OfferUsage:
    return OfferUsage(
        event_id=event.event_id,
        event_time=time,
        tenant=event.tenant,
        offer=event.offer,
        impressions=counts.impressions,
        redemptions=counts.redemptions,
        spent=counts.spent,
        views=counts.views,
        unit=unit,
        reversals=counts.reversals,
    )
