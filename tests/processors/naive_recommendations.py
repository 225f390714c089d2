"""Recommending as one would write it down: loops over the tables, nothing kept from one time to the next."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter, mul
from zlib import crc32

import numpy as np
import numpy.typing as npt

from online_models.factorisation import Item
from online_models.split_factors import SplitFactors, UserFactors
from processors.base import Tables
from processors.recommendations import PARTS, TOP_PLACES, Mix, Recommended
from processors.shopper import SMOOTHING, Shopper
from schemas.recommendation_results import ItemDemand, Part, Suggestion
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS

Scores = npt.NDArray[np.float64]
USUAL = 2.5
"""The usual rating of `SplitFactors`, in stars from 0."""


class NaiveRecommendations:
    """What `recommend` says of a tenant's shelf, item by item, to the last bit."""

    def __init__(self, tenant: str, tables: Tables, now: int, mix: Mix) -> None:
        self.mix, self.now = mix, now
        entries = [
            (key, each) for key, each in sorted(tables[ITEMS].items(), key=itemgetter(0)) if each.tenant == tenant
        ]
        entries = [(key, each) for key, each in entries if each.status == "active"]
        self.items = [Item(entry.item, entry.categories) for _, entry in entries]
        found = {entry.item: tables[ITEM_DEMANDS].get(key) for key, entry in entries}
        self.demand: dict[str, ItemDemand] = {item: each for item, each in found.items() if each is not None}

    def recommend(self, user: str, shopper: Shopper, half: UserFactors) -> Recommended:
        items = [item for item in self.items if item.id not in shopper.owned]
        expected = self.expected(half, items)
        columns = ((expected - 1.0) / 4.0, self.content(shopper, items), self.trending(items))
        parts = np.column_stack(columns)
        learned = half.rated + sum(demand.rated for demand in self.demand.values())
        weights = self.weights([learned > 0, bool(shopper.likings), bool(self.demand)])
        scores = np.array([sum(row) for row in (parts * weights).tolist()])
        seed = crc32(f"{user}@{self.now}".encode())
        chance = np.array([crc32(item.id.encode(), seed) for item in items])
        order = np.lexsort((chance, -scores))[: self.mix.count].tolist()
        told = []
        for at in order:
            part, words = self.reason(at, shopper, items, (parts, weights, expected))
            own = dict(zip(PARTS, parts[at].tolist(), strict=True))
            told.append(Suggestion(items[at].id, float(scores[at]), part, words, own))
        return Recommended(tuple(told), dict(zip(PARTS, weights.tolist(), strict=True)))

    def expected(self, user: UserFactors, items: Sequence[Item]) -> Scores:
        kept = math.exp(min(user.at - self.now, 0) / SplitFactors().settings.mood_ms)
        mood = kept * user.mood / (kept * user.mood_weight + 10.0)
        found = []
        rows = []
        for item in items:
            demand = self.demand.get(item.id)
            taste = added(user.tastes[name].bias for name in item.categories if name in user.tastes)
            found.append((demand.bias if demand else 0.0) + taste / math.sqrt(max(len(item.categories), 1)))
            rows.append(demand.factors if demand and demand.factors else (0.0,) * len(user.factors))
        stars = USUAL + user.bias + mood + np.array(found, dtype=np.float64)
        if user.rated and items:
            stars += np.array([sum(map(mul, row, user.factors)) for row in rows])
        return 1.0 + np.clip(stars, 0.0, 4.0)

    def content(self, shopper: Shopper, items: Sequence[Item]) -> Scores:
        counts: Counter[str] = Counter()
        for item in self.items:
            for name in item.categories:
                counts[name] += self.demand[item.id].count if item.id in self.demand else 0
        found = []
        for item in items:
            lifts = []
            for name in item.categories:
                share = (counts[name] + 1) / (counts.total() + len(counts))
                own = shopper.likings[name].weight if name in shopper.likings else 0.0
                lifts.append(math.log((own + SMOOTHING * share) / ((shopper.total + SMOOTHING) * share)))
            found.append(1.0 / (1.0 + math.exp(-added(lifts) / max(len(lifts), 1))))
        return np.array(found, dtype=np.float64)

    def trending(self, items: Sequence[Item]) -> Scores:
        told = [self.demand.get(item.id) for item in items]
        weights = np.array([demand.weight if demand else 0.0 for demand in told])
        times = np.array([demand.event_time if demand else 0 for demand in told], dtype=np.float64)
        present = weights * np.exp2(-np.maximum(self.now - times, 0.0) / self.mix.half_life_ms)
        greatest = max(present.tolist(), default=0.0)
        return np.array(present / greatest if greatest > 0.0 else present)

    def weights(self, known: Sequence[bool]) -> Scores:
        kept = np.where(known, [self.mix.collaborative, self.mix.content, self.mix.trending], 0.0)
        return np.array(kept / kept.sum() if kept.sum() > 0.0 else kept)

    def reason(
        self, at: int, shopper: Shopper, items: Sequence[Item], scored: tuple[Scores, Scores, Scores]
    ) -> tuple[Part, str]:
        parts, weights, expected = scored
        words: Mapping[Part, str | None] = {
            "collaborative": self.expectation(float(expected[at]), shopper.overall.mean),
            "content": self.liking(shopper, items[at].categories),
            "trending": self.place(at, items, parts[:, 2].tolist()),
        }
        lifts = (parts[at] - parts.mean(axis=0)) * weights
        for place in np.argsort(-lifts, kind="stable").tolist():
            told = words[PARTS[place]]
            if weights[place] > 0.0 and told is not None:
                return PARTS[place], told
        if weights[0] > 0.0:
            return "collaborative", f"We expect you to rate it {expected[at]:.1f} of 5"
        return "trending", f"One of {len(items)} that you do not have"

    def expectation(self, expected: float, usual: float) -> str | None:
        if math.isnan(usual):
            return f"We expect you to rate it {expected:.1f} of 5"
        if round(expected, 1) <= round(usual, 1):
            return None
        return f"We expect you to rate it {expected:.1f}; your average is {usual:.1f}"

    def liking(self, shopper: Shopper, categories: tuple[str, ...]) -> str | None:
        name = shopper.favourite(categories)
        if name is None:
            return None
        liking = shopper.likings[name]
        if liking.rated:
            items = f"{liking.rated} {name} item{'' if liking.rated == 1 else 's'}"
            return f"You rated {items} {liking.mean:.1f} on average; this is {name} too"
        return f"You chose {liking.chosen} {name} item{'' if liking.chosen == 1 else 's'}; this is {name} too"

    def place(self, at: int, items: Sequence[Item], trending: Sequence[float]) -> str | None:
        demand = self.demand.get(items[at].id)
        place = 1 + sum(each > trending[at] for each in trending)
        if demand is None or place > TOP_PLACES:
            return None
        times = "once" if demand.count == 1 else f"{demand.count} times"
        return f"Number {place} in demand now of {len(items)} you do not have; chosen {times} so far"


def added(values: Iterable[float]) -> float:
    """Return a sum made from left to right, which `sum` is only before Python 3.12."""
    total = 0.0
    for value in values:
        total += value
    return total
