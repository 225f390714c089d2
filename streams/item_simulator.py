"""Customers of a simulated world who visit a shop, look at what is recommended to them, buy some of it and rate it.

It is a closed loop: what they look at is what the pipeline recommends, and what it learns from is what they bought.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import numpy as np
from numpy.random import Generator, default_rng

from online_models.slots import seed_of
from schemas.events import Click
from schemas.recommendation_results import Recommendations
from schemas.records import DAY, AnyRecord
from schemas.topics import CLICKS
from streams.ahead import Ahead, interleaved
from streams.item_tastes import RARE, ItemTastes, catalogue
from streams.offer_simulator import ATTENTION, HOUR
from streams.offer_tastes import record, user
from streams.simulator import World

MINUTE = 60_000
USUAL = 2.5
"""The stars for an item that the customer had no liking for either way."""

RATED = 0.6
"""The chance that something bought is rated, some days later."""


class Shoppers:
    """The customers of a world: each opens the page of an item now and then, and looks at what they are recommended.

    The same world and the same recommendations give the same events, byte for byte.
    """

    def __init__(self, world: World, visits_per_day: float = 0.05) -> None:
        self.visits = self.shown = self.bought = 0
        self._seed = world.seed
        self._tastes = ItemTastes.of(world)
        self._columns = {item: column for column, item in enumerate(self._tastes.names)}
        self._visits = _visits(world, visits_per_day, self._tastes)
        self._ahead = Ahead()
        self._visiting: dict[str, int] = {}
        self._owned = np.zeros(self._tastes.liking.shape, np.bool_)
        self._by_chance = 0.0
        for each in catalogue(world):
            self._ahead.add(each)
        self._visit()

    @property
    def hit_rate(self) -> float | None:
        """The share of what was recommended at visits that was bought then; None before any."""
        return self.bought / self.shown if self.shown else None

    @property
    def random_rate(self) -> float | None:
        """What that share would come to with items drawn at random from those the customer does not have."""
        return self._by_chance / self.shown if self.shown else None

    def among(self, records: Iterable[AnyRecord]) -> Iterator[AnyRecord]:
        """Yield records, which come by time, and between them what the customers do; end with the records."""
        return interleaved(records, self.until)

    def until(self, time: int) -> Iterator[AnyRecord]:
        """Yield what the customers do up to a time (milliseconds) and has not been yielded yet."""
        for each in self._ahead.until(time):
            if isinstance(each.message, Click) and each.message.kind == "click":
                self.visits += 1
                self._visiting[each.message.user] = each.time
                self._visit()
            yield each

    def hear(self, said: AnyRecord) -> None:
        """Take in what the pipeline says: the first recommendations made at a visit are looked at."""
        match said.message:
            case Recommendations() as told if told.event_time >= self._visiting.get(told.user, told.event_time + 1):
                del self._visiting[told.user]
                self._look(told)

    def _visit(self) -> None:
        if (visit := next(self._visits, None)) is not None:
            self._ahead.add(visit)

    def _look(self, told: Recommendations) -> None:
        customer, chance = int(told.user[1:]), default_rng(seed_of(self._seed, told.event_id))
        owned, chances = self._owned[customer], self._tastes.chances(customer)
        usual = float(chances[~owned].mean()) if told.items else 0.0
        for attention, suggestion in zip(ATTENTION, told.items, strict=False):
            self.shown += 1
            self._by_chance += attention * usual
            column = self._columns[suggestion.item]
            if not owned[column] and chance.random() < attention * chances[column]:
                self.bought += 1
                owned[column] = True
                for each in _bought(told, suggestion.item, self._tastes.liking[customer, column], chance):
                    self._ahead.add(each)


def _visits(world: World, per_day: float, tastes: ItemTastes) -> Iterator[AnyRecord]:
    """Yield the visits of all customers by time, so many a day each on average; they open a page they like."""
    start, number = round(world.start.timestamp() * 1000), 0
    for day in range(world.days):
        chance = default_rng((world.seed, 5_000_000 + day))
        customers = chance.permutation(np.flatnonzero(chance.random(world.customers) < per_day))
        times = np.sort(chance.integers(8 * HOUR, 22 * HOUR, len(customers))) + start + day * DAY
        for customer, time in zip(customers.tolist(), times.tolist(), strict=True):
            chances = tastes.chances(customer)
            item = tastes.names[int(np.searchsorted(np.cumsum(chances), chance.random() * chances.sum()))]
            yield _click(f"visit-{number:08d}", "click", (user(customer), item), time)
            number += 1


def _bought(told: Recommendations, item: str, liking: float, chance: Generator) -> Iterator[AnyRecord]:
    """Yield what comes of a purchase: it is made within the hour, and perhaps rated by how much the item is liked."""
    about = (told.user, item)
    time = told.event_time + round(chance.uniform(2, 60) * MINUTE)
    yield _click(f"purchase-{told.event_id}-{item}", "purchase", about, time)
    if chance.random() < RATED:
        stars = np.clip(np.rint(USUAL + liking - RARE + chance.normal(0.0, 0.7)), 1, 5)
        later = time + round(chance.uniform(1, 5) * DAY)
        yield _click(f"rating-{told.event_id}-{item}", "rating", about, later, value=float(stars))


def _click(event_id: str, kind: str, about: tuple[str, str], time: int, value: float | None = None) -> AnyRecord:
    told = {} if value is None else {"value": value}
    click = Click.model_validate(
        {
            "event_id": event_id,
            "event_time": datetime.fromtimestamp(time / 1000, UTC),
            "user": about[0],
            "kind": kind,
            "item": about[1],
            **told,
        }
    )
    return record(CLICKS, click)
