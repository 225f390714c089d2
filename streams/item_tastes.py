"""What the customers of a simulated world like to have: the catalogue of items, and what nobody is told of it.

Each customer likes some categories, more so where they pay at such shops; some items are better than others; and beside
that, customers who are alike in a way that no category tells like the same items.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import default_rng

from schemas.recommendation_results import CatalogueItem
from schemas.recommendation_topics import ITEMS
from schemas.records import AnyRecord
from streams.fraud_patterns import Floats
from streams.offer_tastes import by_category, record
from streams.simulator import CATEGORIES, Population, World

ITEMS_OF_CATEGORY = 8
LIKENESSES = 3
"""Ways in which customers and items are alike beside the categories."""

RARE = -2.0
"""Log-odds that a customer who looks at an item buys it, where they have no liking for it either way."""


def catalogue(world: World) -> Iterator[AnyRecord]:
    """Yield the items as they are when the world begins."""
    for category in CATEGORIES:
        for number in range(ITEMS_OF_CATEGORY):
            item = f"{category}-item-{number}"
            entry = CatalogueItem(
                event_id=item,
                event_time=world.start,
                item=item,
                title=f"{category.capitalize()} no. {number + 1}",
                categories=(category,),
            )
            yield record(ITEMS, entry)


@dataclass(frozen=True, slots=True)
class ItemTastes:
    """`liking` has a row per customer and a column per item, in the order of the catalogue, as log-odds to buy it."""

    names: tuple[str, ...]
    liking: Floats

    @classmethod
    def of(cls, world: World) -> "ItemTastes":
        """Return the tastes in a world."""
        chance, customers = default_rng((world.seed, 4_000_000)), world.customers
        names = tuple(each.message.item for each in catalogue(world))
        categories = np.repeat(by_category(Population.born(world), chance), ITEMS_OF_CATEGORY, axis=1)
        quality = chance.normal(0.0, 1.0, len(names))
        alike = chance.normal(0.0, 0.4, (customers, LIKENESSES)) @ chance.normal(0.0, 1.0, (LIKENESSES, len(names)))
        liking: Floats = RARE + categories + quality + alike
        return cls(names, liking)

    def chances(self, customer: int) -> Floats:
        """Return the chance that a customer who looks at each item buys it."""
        chances: Floats = 1.0 / (1.0 + np.exp(-self.liking[customer]))
        return chances
