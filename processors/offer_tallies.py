"""What became of impressions, one by one and counted."""

from collections.abc import Iterator, Mapping
from typing import Self

import msgspec

from processors.offer_terms import Terms
from schemas.events import Click

SHOWN = 32
"""Most impressions of a customer that wait for what becomes of them; the oldest go first."""

MERCHANTS = SHOWN
"""Most merchants whose past is told apart, those shown last: no fewer, so that what waits is counted where it was."""

PRIOR_WEIGHT = 2.0
"""How many impressions the prior of a rate counts for."""

Rates = tuple[float, float, float]
"""Per impression: viewed, redeemed after a view, redeemed without one."""

PRIOR: Rates = (0.7, 0.35, 0.1)
"""The rates before a customer's own are known."""


class Tally(msgspec.Struct, array_like=True):
    """What became of a customer's impressions of an offer, a kind, a channel, a category or a merchant."""

    impressions: int = 0
    views: int = 0
    redemptions: int = 0
    blind: int = 0

    @property
    def redeemed(self) -> int:
        """How many impressions were redeemed, seen or not."""
        return self.redemptions + self.blind

    def redeem(self, blind: bool, count: int) -> None:
        """Count so many redemptions more, or fewer, of what was not seen before, or was."""
        if blind:
            self.blind = max(0, self.blind + count)
        else:
            self.redemptions = max(0, self.redemptions + count)

    def rates(self, priors: Rates) -> Rates:
        """Return views, redemptions of what was seen, and redemptions unseen, per impression, drawn to `priors`."""
        n = self.impressions + PRIOR_WEIGHT
        return (
            (self.views + PRIOR_WEIGHT * priors[0]) / n,
            (self.redemptions + PRIOR_WEIGHT * priors[1]) / n,
            (self.blind + PRIOR_WEIGHT * priors[2]) / n,
        )


class Shown(msgspec.Struct, array_like=True):
    """An impression and what has become of it so far; `cost` and `unit` are those of the offer when it was shown.

    `blind` is whether it was redeemed before it was seen.
    """

    decision: str
    offer: str
    kind: str
    channels: tuple[str, ...]
    at: int
    end: int
    seen: bool = False
    redeemed: bool = False
    category: str = ""
    merchant: str = ""
    cost: float = 0.0
    unit: str = ""
    blind: bool = False

    @classmethod
    def of(cls, decision: str, terms: Terms, time: int) -> Self:
        """Return the impression of an offer at `time`, of which nothing has become yet."""
        return cls(
            decision,
            terms.offer,
            terms.kind,
            terms.channels,
            time,
            time + terms.duration,
            category=terms.category,
            merchant=terms.merchant,
            cost=terms.cost,
            unit=terms.unit,
        )

    def may_be_meant_by(self, click: Click) -> bool:
        """Return whether a click is in time for this impression, and names its decision or else its offer."""
        return click.is_about(self.decision, self.offer) and self.at <= click.time_ms() <= self.end


def rates_of(tallies: Mapping[str, Tally], name: str, overall: Rates) -> Rates:
    """Return the rates of a tally, drawn to the rates over all; these where there is none of the name."""
    found = tallies.get(name)
    return overall if found is None else found.rates(overall)


def tallies_of(shown: Shown, whole: Tally, tallies: dict[str, Tally]) -> Iterator[Tally]:
    """Yield where an impression counts: the `whole`, and each of `tallies` that it belongs to, new ones among them."""
    yield whole
    category = (f"in {shown.category}",) if shown.category else ()
    merchant = (f"at {shown.merchant}",) if shown.merchant else ()
    channels = (f"by {channel}" for channel in shown.channels)
    for name in (f"offer {shown.offer}", shown.kind, *channels, *category, *merchant):
        if name not in tallies:
            tallies[name] = Tally()
        yield tallies[name]


def remember_merchant(tallies: dict[str, Tally], merchant: str) -> None:
    """Put the tally of the merchant shown last at the end, and let the one shown longest ago go for it."""
    name = f"at {merchant}"
    tallies[name] = tallies.pop(name)
    merchants = [each for each in tallies if each.startswith("at ")]
    if len(merchants) > MERCHANTS:
        del tallies[merchants[0]]
