"""What is known of a customer's taste: what they have, and how they like each category."""

import math
from collections.abc import Mapping

import msgspec

SMOOTHING = 20.0
"""Choices as everybody makes them that a customer's own are smoothed with."""


class Liking(msgspec.Struct, array_like=True):
    """What a customer made of a category: how many items they chose or rated, and the ratings."""

    chosen: int = 0
    rated: int = 0
    total: float = 0.0
    weight: float = 0.0

    @property
    def mean(self) -> float:
        """Return the mean rating; NaN when there is none."""
        return self.total / self.rated if self.rated else math.nan


class Shopper(msgspec.Struct):
    """A customer: the items they own or rated, in the order of their choice, their likings by category and over all."""

    owned: dict[str, None] = msgspec.field(default_factory=dict)  # a set would have many forms in bytes
    likings: dict[str, Liking] = msgspec.field(default_factory=dict)
    overall: Liking = msgspec.field(default_factory=Liking)

    def choose(self, item: str, categories: tuple[str, ...], liking: float, rating: float | None = None) -> None:
        """Take in that the customer chose an item and liked it so much, in [0, 1]; `rating` is what they said."""
        self.owned[item] = None
        for name in categories:
            _add(self.likings.setdefault(name, Liking()), liking, rating)
        _add(self.overall, liking, rating)

    def lifts(self, shares: Mapping[str, float]) -> list[float]:
        """Return how many times its share among everybody's choices, above 0, each category has among the customer's.

        Few choices say little: the customer's share is smoothed with `SMOOTHING` choices as everybody makes them.
        """
        known, total = self.likings, self.total + SMOOTHING
        own = (known[name].weight if name in known else 0.0 for name in shares)
        return [
            (weight + SMOOTHING * share) / (total * share) for weight, share in zip(own, shares.values(), strict=True)
        ]

    @property
    def total(self) -> float:
        """Return the sum of the likings of all categories."""
        return sum(liking.weight for liking in self.likings.values())

    def favourite(self, categories: tuple[str, ...]) -> str | None:
        """Return which of the categories is rated best, at least as well as all items; else which is chosen most."""
        known = [name for name in categories if name in self.likings]
        rated = [name for name in known if self.likings[name].rated]
        if rated:
            best = max(rated, key=lambda name: (self.likings[name].mean, name))
            return best if self.likings[best].mean >= self.overall.mean else None
        return max(known, key=lambda name: (self.likings[name].chosen, name), default=None)


def _add(liking: Liking, weight: float, rating: float | None) -> None:
    liking.chosen += 1
    liking.weight += weight
    if rating is not None:
        liking.rated += 1
        liking.total += rating
