"""What an offer asks and gives, read off the catalogue in one place."""

import msgspec

from schemas.events import Offer
from schemas.records import DAY

OPEN_ENDED = 30
"""Days that an offer which does not tell its duration can be redeemed after it was shown."""


class Terms(msgspec.Struct, frozen=True):
    """What an offer asks and gives: its kind, the reward, the least spend it takes, how long and where it is open.

    `reward` and `minimum_spend` are in the offer's unit, `duration` is in milliseconds from the moment it is shown.
    """

    offer: str
    kind: str
    reward: float
    minimum_spend: float
    duration: int
    channels: tuple[str, ...]


def terms_of(offer: Offer) -> Terms:
    """Return the terms of an entry of the catalogue; what it does not tell is nothing, or open-ended."""
    return Terms(
        offer.offer,
        offer.kind or "",
        float(offer.reward or 0),
        float(offer.minimum_spend or 0),
        round((offer.duration_days or OPEN_ENDED) * DAY),
        offer.channels,
    )


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
