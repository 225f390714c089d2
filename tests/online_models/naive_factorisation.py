"""The rating model as one would write it down: dictionaries, sums and no limit to what it remembers."""

from collections import defaultdict
from math import exp, sqrt

from online_models.factor_state import first_factors
from online_models.factorisation import FactorSettings, Item


class NaiveFactorisation:
    """Expects and learns what `Factorisation` does, from first principles."""

    def __init__(self, settings: FactorSettings) -> None:
        self.s = settings
        self.ratings = [2.0]
        self.user_bias: dict[str, float] = defaultdict(float)
        self.item_bias: dict[str, float] = defaultdict(float)
        self.taste: dict[tuple[str, str], float] = defaultdict(float)
        self.counts: dict[object, int] = defaultdict(int)
        self.surprises: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.user_factors: dict[str, list[float]] = {}
        self.item_factors: dict[str, list[float]] = {}

    def predict_one(self, user: str, item: Item, at: int) -> float:
        stars = min(max(self._expected(user, item, at), 0.0), 4.0)
        return self.s.low + stars * (self.s.high - self.s.low) / 4.0

    def learn_one(self, user: str, item: Item, at: int, rating: float) -> None:
        s = self.s
        stars = (rating - s.low) * 4.0 / (s.high - s.low)
        error = stars - self._expected(user, item, at)
        earlier = self.surprises[user]
        now = max([at, *(time for time, _ in earlier)])
        earlier.append((now, error + self._mood(user, at)))
        mine = self.user_factors.setdefault(user, first_factors(user, s.seed, s.factors, s.spread).tolist())
        its = self.item_factors.setdefault(item.id, [0.0] * s.factors)
        for f, (p, q) in enumerate(zip(list(mine), list(its), strict=True)):
            mine[f] = min(max(p + s.factor_rate * (error * q - s.factor_decay * p), -2.0), 2.0)
            its[f] = min(max(q + s.factor_rate * (error * p - s.factor_decay * q), -2.0), 2.0)
        categories = dict.fromkeys(item.categories)
        for name in categories:
            share = error / sqrt(len(categories))
            self.taste[user, name] += share * self._pace((user, "in", name), s.category_smoothing)
        self.ratings.append(stars)
        self.user_bias[user] += error * self._pace((user, "user"), s.user_smoothing)
        self.item_bias[item.id] += error * self._pace((item.id, "item"), s.item_smoothing)

    def _expected(self, user: str, item: Item, at: int) -> float:
        categories = dict.fromkeys(item.categories)
        taste = sum(self.taste[user, name] for name in categories) / sqrt(max(len(categories), 1))
        mine, its = self.user_factors.get(user, []), self.item_factors.get(item.id, [])
        product = sum(p * q for p, q in zip(mine, its, strict=True)) if mine and its else 0.0
        mean = sum(self.ratings) / len(self.ratings)
        return mean + self.user_bias[user] + self.item_bias[item.id] + taste + self._mood(user, at) + product

    def _mood(self, user: str, at: int) -> float:
        total = weight = 0.0
        now = max([at, *(time for time, _ in self.surprises[user])])
        for age, (time, surprise) in enumerate(reversed(self.surprises[user])):
            kept = self.s.mood_kept**age * exp((time - now) / self.s.mood_ms)
            total, weight = total + kept * surprise, weight + kept
        return total / (weight + self.s.mood_smoothing)

    def _pace(self, what: object, smoothing: float) -> float:
        self.counts[what] += 1
        return max(1.0 / (self.counts[what] + smoothing), self.s.slowest)
