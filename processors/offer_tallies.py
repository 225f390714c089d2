"""What became of impressions, one by one and counted."""

import msgspec

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

    def rates(self, priors: Rates) -> Rates:
        """Return views, redemptions of what was seen, and redemptions unseen, per impression, drawn to `priors`."""
        n = self.impressions + PRIOR_WEIGHT
        return (
            (self.views + PRIOR_WEIGHT * priors[0]) / n,
            (self.redemptions + PRIOR_WEIGHT * priors[1]) / n,
            (self.blind + PRIOR_WEIGHT * priors[2]) / n,
        )


class Shown(msgspec.Struct, array_like=True):
    """An impression and what has become of it so far; `cost` and `unit` are those of the offer when it was shown."""

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
