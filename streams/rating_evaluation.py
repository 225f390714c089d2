"""Progressive evaluation of ratings and recommendations: each is foretold, judged, and only then learned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import log2, sqrt
from time import perf_counter
from typing import Any

from online_models.factorisation import Factorisation, FactorSettings, RatingModel
from online_models.river_recommenders import river_baseline, river_biased_mf
from processors.recommendations import PARTS, Mix, Scored, more_demand, score
from processors.shelf import Shelf
from processors.shopper import Shopper
from schemas.recommendation_results import ItemDemand
from streams.ratings import Rating, RatingHistory

TOLD_EVERY = 2_500
TOP = 10
LIKED = 0.75
"""Place on the scale from which on a rating says that the item was liked: 4 of 5 stars."""

Told = Callable[[str, int], None]
"""Told what goes on, and how many more ratings it went through."""


@dataclass
class Errors:
    """How far what was expected is from what was rated."""

    absolute: float = 0.0
    squared: float = 0.0
    count: int = 0
    seconds: float = 0.0

    def add(self, error: float) -> None:
        """Count an error."""
        self.absolute += abs(error)
        self.squared += error * error
        self.count += 1

    @property
    def mae(self) -> float:
        """Return the mean absolute error."""
        return self.absolute / self.count

    @property
    def rmse(self) -> float:
        """Return the root of the mean squared error."""
        return sqrt(self.squared / self.count)


@dataclass
class Hits:
    """Where, among all that a user did not have, the item stood that they chose next and liked."""

    ranks: list[float] = field(default_factory=list)

    def add(self, scores: Any, chosen: int) -> None:
        """Count the place of an item; among equals it has their mean place, from 0."""
        mine = scores[chosen]
        self.ranks.append(float((scores > mine).sum()) + (float((scores == mine).sum()) - 1.0) / 2.0)

    @property
    def rate(self) -> float:
        """Return the share of items among the first ten."""
        return sum(rank < TOP for rank in self.ranks) / max(len(self.ranks), 1)

    @property
    def ndcg(self) -> float:
        """Return the mean discounted gain of the first ten: 1 / log2(place + 1), place from 1."""
        return sum(1.0 / log2(rank + 2.0) for rank in self.ranks if rank < TOP) / max(len(self.ranks), 1)


def progressive_errors(model: RatingModel, ratings: Sequence[Rating], told: Callable[[int], None]) -> Errors:
    """Return the errors of a model that expects each rating before it learns it."""
    errors, started = Errors(), perf_counter()
    for number, (user, item, at, value) in enumerate(ratings, 1):
        errors.add(value - model.predict_one(user, item, at))
        model.learn_one(user, item, at, value)
        if number % TOLD_EVERY == 0:
            told(TOLD_EVERY)
    errors.seconds = perf_counter() - started
    return errors


class ProgressiveRanking:
    """Recommends to the users of every nth rating just before it, by all parts and by the trending part alone."""

    def __init__(self, history: RatingHistory, every: int, mix: Mix) -> None:
        low, high = history.scale
        self.combined, self.trending = Hits(), Hits()
        self._low, self._span = low, high - low
        self._model = Factorisation(FactorSettings(low=low, high=high))
        self._mix = mix
        self._every = every
        self._items = list(history.items.values())
        self._demand: dict[str, ItemDemand] = {}
        self._shoppers: dict[str, Shopper] = {}
        self._count = 0

    def take(self, rating: Rating) -> None:
        """Judge what would be recommended now, when it is its turn and the item is liked; then learn the rating."""
        user, item, at, value = rating
        shopper = self._shoppers.setdefault(user, Shopper())
        liking = (value - self._low) / self._span
        self._count += 1
        if self._count % self._every == 0 and liking >= LIKED and item.id not in shopper.owned:
            self._judge(score(user, shopper, Shelf(self._items, self._demand, at), self._model, self._mix), item.id)
        self._model.learn_one(user, item, at, value)
        shopper.choose(item.id, item.categories, liking, value)
        about = (f"{user}:{item.id}", at, "default")
        self._demand[item.id] = more_demand(self._demand.get(item.id), item.id, about, self._mix.half_life_ms)

    def _judge(self, scored: Scored, item: str) -> None:
        chosen = next(at for at, each in enumerate(scored.items) if each.id == item)
        self.combined.add(scored.scores, chosen)
        self.trending.add(scored.parts[:, PARTS.index("trending")], chosen)


def evaluate_recommendations(history: RatingHistory, every: int, told: Told) -> dict[str, Any]:
    """Return errors of the rating model beside River's, and hit rate and NDCG of the first ten recommendations.

    Every `every`th rating is an occasion to recommend; 0 recommends nothing. Improvements are over River's BiasedMF.
    """
    low, high = history.scale
    settings = FactorSettings(low=low, high=high)
    _warm_up(settings, history.ratings[0])
    model = Factorisation(settings)
    ours = progressive_errors(model, history.ratings, lambda n: told("rating model", n))
    baseline = progressive_errors(river_baseline(), history.ratings, lambda n: told("River Baseline", n))
    biased = progressive_errors(river_biased_mf(), history.ratings, lambda n: told("River BiasedMF", n))
    return {
        "n": ours.count,
        "mae": ours.mae,
        "rmse": ours.rmse,
        "baseline_mae": baseline.mae,
        "baseline_rmse": baseline.rmse,
        "biased_mf_mae": biased.mae,
        "biased_mf_rmse": biased.rmse,
        "improvement_mae": 1.0 - ours.mae / biased.mae,
        "improvement_rmse": 1.0 - ours.rmse / biased.rmse,
        "events_per_second": round(ours.count / ours.seconds),
        "users": model.users,
        "items": model.items,
        "snapshot_bytes": len(model.snapshot()),
        **(_ranking(history, every, told) if every else {}),
    }


def _warm_up(settings: FactorSettings, rating: Rating) -> None:
    """Have the kernels compiled, so that the rate is that of ratings."""
    model = Factorisation(settings)
    model.predict_one(*rating[:3])
    model.learn_one(*rating)


def _ranking(history: RatingHistory, every: int, told: Told) -> dict[str, Any]:
    ranking = ProgressiveRanking(history, every, Mix())
    for number, rating in enumerate(history.ratings, 1):
        ranking.take(rating)
        if number % TOLD_EVERY == 0:
            told("recommendations", TOLD_EVERY)
    return {
        "rankings": len(ranking.combined.ranks),
        "hit_rate_10": ranking.combined.rate,
        "ndcg_10": ranking.combined.ndcg,
        "trending_hit_rate_10": ranking.trending.rate,
        "trending_ndcg_10": ranking.trending.ndcg,
    }
