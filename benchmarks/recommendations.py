"""Recommendations made on one core: milliseconds each, by the number of items in the catalogue.

Customers first rate items until each has some five ratings, so that tastes, demand and the rating model are there. Then
each in turn opens the page of an item, which brings new recommendations, and rates it. Only the former is measured: a
step of the recommender with everything in it, what changed in the demand since the last one, and the message as bytes.
1,682 is the size of MovieLens' catalogue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np

from benchmarks.ranking import Took, percentiles
from benchmarks.replay import collector_as_in_a_worker
from schemas.events import Click
from schemas.recommendation_results import CatalogueItem, Recommendations
from schemas.recommendation_topics import ITEMS
from schemas.records import AnyRecord, Record
from schemas.topics import CLICKS
from streams.assembly import recommendation_pipeline
from streams.replay import Replay
from streams.settings import Settings

SIZES = (1_682, 10_000)
CATEGORIES = 19
CUSTOMERS = 200
RATINGS = 5
BEGIN = 1_800_000_000_000
MINUTE = 60_000

Told = Callable[[str], None]


def recommendations(
    sizes: Sequence[int] = SIZES, events: int = 1_000, told: Told = lambda _: None
) -> dict[str, dict[str, float]]:
    """Return recommendations a second, and percentiles in milliseconds, by the number of items.

    `recommendations_per_second` is by the clock on the wall, `recommendations_per_core_second` by processor time.
    """
    found: dict[str, dict[str, float]] = {}
    for items in sizes:
        told(f"{items:,} items")
        shop = Shop(items)
        shop.open(RATINGS * items)
        with collector_as_in_a_worker():
            shop.recommend(events // 10)
            took = shop.recommend(events)
        found[f"{items:,} items"] = {
            "recommendations_per_second": round(1_000 / took.wall.mean()),
            "recommendations_per_core_second": round(1_000 / took.core.mean()),
            **percentiles(took.wall),
        }
    return found


class Shop:
    """The pipeline of recommendations over a catalogue of so many items, in up to three of `CATEGORIES` each."""

    def __init__(self, items: int) -> None:
        self._engine = Replay(recommendation_pipeline(Settings()))
        self._chance = np.random.default_rng(7)
        self._items = [f"item-{number}" for number in range(items)]
        self._number, self._now = 0, BEGIN
        for item in self._items:
            names = self._chance.choice(CATEGORIES, self._chance.integers(1, 4), replace=False).tolist()
            entry = CatalogueItem(
                event_id=item,
                event_time=datetime.fromtimestamp(BEGIN / 1_000, UTC),
                item=item,
                categories=tuple(f"category-{name}" for name in names),
            )
            self._take(Record(ITEMS, entry, item))

    def open(self, ratings: int) -> None:
        """Let customers rate items, all within a minute: nobody is recommended anything anew meanwhile."""
        for _ in range(ratings):
            self._take(self._click("rating", 1))

    def recommend(self, events: int) -> Took:
        """Return how long each of so many recommendations took."""
        task, took = self._engine.tasks["recommendations"], Took(np.empty(events), np.empty(events))
        for number in range(events):
            record = self._click("view", MINUTE)
            wall, core = time.perf_counter(), time.process_time()
            said = task.step(record)
            for each in said:
                each.topic.encode(each.message)
            took.wall[number] = (time.perf_counter() - wall) * 1_000
            took.core[number] = (time.process_time() - core) * 1_000
            if not any(isinstance(each.message, Recommendations) for each in said):
                raise RuntimeError(f"{record.id} brought no recommendations")
            self._take(self._click("rating", 1))
        return took

    def _take(self, record: AnyRecord) -> None:
        for _ in self._engine.step(record):
            pass

    def _click(self, kind: str, later: int) -> AnyRecord:
        """Return what the next customer does with some item, so many milliseconds after the last did."""
        self._number += 1
        self._now += later
        item, stars = self._items[int(self._chance.integers(len(self._items)))], float(self._chance.integers(1, 6))
        name, user = f"bench-{self._number}", f"customer-{self._number % CUSTOMERS}"
        at = datetime.fromtimestamp(self._now / 1_000, UTC)
        told = {"event_id": name, "event_time": at, "user": user, "kind": kind, "item": item, "value": stars}
        return Record(CLICKS, Click.model_validate(told), name)
