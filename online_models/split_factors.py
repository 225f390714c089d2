"""The rating model in two halves, one per key: what a user is like, and what an item is like.

It is `factorisation.Factorisation` for streams that are partitioned by user and by item: a user's half learns at once,
from the item's half as last published, and says a lesson, from which the item's half learns. In place of the mean of
all ratings, which no key knows, stands `usual`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy as np

from online_models.base import Vector
from online_models.category_sets import CategorySets
from online_models.factor_kernels import LARGEST, SPAN, affinities
from online_models.factor_state import Indices, Matrix, first_factors
from online_models.factorisation import FactorSettings, Item


class Taste(msgspec.Struct, array_like=True):
    """A user's bias on a category, in stars, and how many ratings it was learned from."""

    bias: float = 0.0
    rated: int = 0


class UserFactors(msgspec.Struct, array_like=True):
    """A user's half: biases and mood in stars, `at` the time of the last rating in milliseconds."""

    factors: list[float]
    rated: int = 0
    bias: float = 0.0
    mood: float = 0.0
    mood_weight: float = 0.0
    at: int = 0
    tastes: dict[str, Taste] = {}


class ItemFactors(msgspec.Struct, frozen=True, array_like=True):
    """An item's half: what it is rated above the usual, in stars, and its factors."""

    rated: int = 0
    bias: float = 0.0
    factors: tuple[float, ...] = ()


class Halves(NamedTuple):
    """The halves of N items as arrays, and the categories of each."""

    biases: Vector
    """(N,)"""
    factors: Matrix
    """(N, F), zeros of an item that has none; (N, 0) while no item has any."""
    sets: CategorySets


class Lesson(msgspec.Struct, frozen=True, array_like=True):
    """What a rating teaches an item: how far it was off, in stars, and the factors of who gave it."""

    error: float
    factors: tuple[float, ...]


NEW_ITEM = ItemFactors()


class SplitFactors:
    """Expects ratings and learns them, given the two halves; it has no state of its own."""

    def __init__(self, settings: FactorSettings | None = None, usual: float = 3.5) -> None:
        self.settings = settings or FactorSettings()
        if not self.settings.low <= usual <= self.settings.high:
            raise ValueError(f"the usual rating, {usual}, is off the scale")
        self._unit = (self.settings.high - self.settings.low) / SPAN
        self._usual = (usual - self.settings.low) / self._unit

    def newcomer(self, user: str) -> UserFactors:
        """Return the half of a user that has rated nothing."""
        s = self.settings
        return UserFactors(first_factors(user, s.seed, s.factors, s.spread).tolist())

    def expect(self, user: UserFactors, items: Halves, rows: Indices, at: int) -> Vector:
        """Return the rating expected of the items in `rows` at an event time (milliseconds), within the scale."""
        biases = items.biases[rows] + self._tastes(user, items.sets)[items.sets.codes[rows]]
        stars = self._usual + user.bias + self._mood(user, at) + biases
        if user.rated and items.factors.size:
            stars += affinities(items.factors, rows, np.array(user.factors))
        return self.settings.low + self._unit * np.clip(stars, 0.0, SPAN)

    def learn(self, user: UserFactors, item: Item, half: ItemFactors, told: tuple[int, float]) -> Lesson:
        """Teach a user's half what they rated an item, `told` as event time and rating; return the item's lesson.

        `ValueError`, with nothing learned, for a rating that is no number or off the scale.
        """
        at, rating = told
        if not self.settings.low <= rating <= self.settings.high:
            raise ValueError(f"rating of {item.id!r} is {rating}, not on the scale")
        error = (rating - self.settings.low) / self._unit - self._stars(user, item, half, at)
        lesson = Lesson(error, tuple(user.factors))
        self._learn_mood(user, at, error)
        if half.factors:
            pairs = zip(user.factors, half.factors, strict=True)
            user.factors = [self._stepped(mine, its, error) for mine, its in pairs]
        else:
            user.factors = [self._stepped(mine, 0.0, error) for mine in user.factors]
        self._learn_tastes(user, item.categories, error)
        user.rated += 1
        user.bias += error * self._pace(user.rated, self.settings.user_smoothing)
        return lesson

    def taught(self, half: ItemFactors, lesson: Lesson) -> ItemFactors:
        """Return an item's half after a lesson."""
        rated = half.rated + 1
        bias = half.bias + lesson.error * self._pace(rated, self.settings.item_smoothing)
        own = half.factors or (0.0,) * len(lesson.factors)
        pairs = zip(own, lesson.factors, strict=True)
        return ItemFactors(rated, bias, tuple(self._stepped(its, theirs, lesson.error) for its, theirs in pairs))

    def _stars(self, user: UserFactors, item: Item, half: ItemFactors, at: int) -> float:
        known = user.factors if user.rated and half.factors else ()
        product = sum(mine * its for mine, its in zip(known, half.factors, strict=False))
        return self._usual + user.bias + half.bias + self._mood(user, at) + self._taste(user, item.categories) + product

    def _mood(self, user: UserFactors, at: int) -> float:
        kept = math.exp(min(user.at - at, 0) / self.settings.mood_ms)
        return kept * user.mood / (kept * user.mood_weight + self.settings.mood_smoothing)

    def _learn_mood(self, user: UserFactors, at: int, error: float) -> None:
        surprise = error + self._mood(user, at)
        kept = self.settings.mood_kept * math.exp(min(user.at - at, 0) / self.settings.mood_ms)
        user.mood, user.mood_weight = kept * user.mood + surprise, kept * user.mood_weight + 1.0
        user.at = max(at, user.at)

    def _taste(self, user: UserFactors, categories: tuple[str, ...]) -> float:
        total = sum(user.tastes[name].bias for name in categories if name in user.tastes)
        return total / math.sqrt(max(len(categories), 1))

    def _tastes(self, user: UserFactors, sets: CategorySets) -> Vector:
        """Return what `_taste` does, for each combination of categories."""
        known = user.tastes
        biases = np.array([known[name].bias if name in known else 0.0 for name in sets.names], dtype=np.float64)
        tastes: Vector = sets.sums(biases) / np.sqrt(sets.sizes)
        return tastes

    def _learn_tastes(self, user: UserFactors, categories: tuple[str, ...], error: float) -> None:
        share = error / math.sqrt(max(len(categories), 1))
        for name in categories:
            if name not in user.tastes and len(user.tastes) >= self.settings.most_categories:
                continue
            taste = user.tastes.setdefault(name, Taste())
            taste.rated += 1
            taste.bias += share * self._pace(taste.rated, self.settings.category_smoothing)

    def _stepped(self, factor: float, other: float, error: float) -> float:
        s = self.settings
        moved = factor + s.factor_rate * (error * other - s.factor_decay * factor)
        return min(max(moved, -LARGEST), LARGEST)

    def _pace(self, count: int, smoothing: float) -> float:
        return max(1.0 / (count + smoothing), self.settings.slowest)
