"""Recommendations: what a customer does not have yet and may like, best first, each with its reason."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from online_models.base import Vector
from online_models.factorisation import FactorSettings
from processors.shelf import Offered, Shelf
from processors.shopper import Shopper
from schemas.recommendation_results import ItemDemand, Part, Suggestion
from schemas.records import DAY

PARTS: tuple[Part, ...] = ("collaborative", "content", "trending")
HALF_LIFE = 7 * DAY
TOP_PLACES = 20
"""Places in the order of demand that are worth a word."""

Scores = npt.NDArray[np.float64]


class Expects(Protocol):
    """What expects ratings: `learned` is 0 while it knows nothing, `settings` has the scale."""

    @property
    def learned(self) -> int:
        """Return how many ratings it has learned."""
        ...

    @property
    def settings(self) -> FactorSettings:
        """Return how it learns."""
        ...

    def predict_many(self, user: str, items: Offered, at: int) -> Vector:
        """Return the rating expected of each item at an event time (milliseconds)."""
        ...


class Mix(msgspec.Struct, frozen=True):
    """How much each part counts, how many items are recommended, and how long that holds."""

    collaborative: float = 0.40
    content: float = 0.35
    trending: float = 0.25
    count: int = 10
    ttl_ms: int = DAY
    half_life_ms: int = HALF_LIFE

    def __post_init__(self) -> None:
        given = (self.collaborative, self.content, self.trending)
        if min(given) < 0.0 or not 0.0 < sum(given) < math.inf:
            raise ValueError(f"weights are at least 0 and not all 0, got {given}")
        if min(self.count, self.ttl_ms, self.half_life_ms) < 1:
            raise ValueError("count, ttl_ms and half_life_ms are at least 1")


class Recommended(NamedTuple):
    """What is recommended, best first, and the weights that the parts had."""

    items: tuple[Suggestion, ...]
    weights: dict[Part, float]


class Scored(NamedTuple):
    """The candidates with their parts (one row each, in the order of `PARTS`), weights, and what they come to."""

    items: Offered
    parts: Scores
    weights: Scores
    scores: Scores
    expected: Scores


def decayed(demand: ItemDemand, now: int, half_life_ms: int) -> float:
    """Return the weight of a demand at `now`: halved for each half-life since it was told."""
    return float(demand.weight * 0.5 ** (max(now - demand.event_time, 0) / half_life_ms))


def more_demand(demand: ItemDemand | None, item: str, about: tuple[str, int, str], half_life_ms: int) -> ItemDemand:
    """Return the demand once somebody more has chosen the item; `about` is the event's id, time and tenant.

    A late event counts for what would be left of it.
    """
    event_id, at, tenant = about
    if demand is None:
        return ItemDemand(event_id=event_id, event_time=at, tenant=tenant, item=item, weight=1.0, count=1)
    now = max(at, demand.event_time)
    weight = decayed(demand, now, half_life_ms) + 0.5 ** ((now - at) / half_life_ms)
    return replace(demand, event_id=event_id, event_time=now, weight=weight, count=demand.count + 1)


def score(user: str, shopper: Shopper, shelf: Shelf, model: Expects, mix: Mix) -> Scored:
    """Return the parts and scores of all that the customer does not own. Changes nothing.

    Each part is in [0, 1]. Collaborative: the place of the expected rating on its scale. Content: the logistic of the
    mean log lift of the item's categories among the customer's choices, 0.5 when they are as everybody's. Trending: the
    decayed demand over the greatest. A part that knows nothing yet has weight 0, and the others share it.
    """
    items = shelf.without(shopper.owned)
    expected = model.predict_many(user, items, shelf.now)
    low, high = model.settings.low, model.settings.high
    demand = _trending(items, mix.half_life_ms)
    parts = np.column_stack(((expected - low) / (high - low), _content(shopper, items), demand))
    weights = np.array([mix.collaborative, mix.content, mix.trending])
    weights = _shared(weights, known=[model.learned > 0, bool(shopper.likings), shelf.is_in_demand])
    # Not a matrix product: BLAS may add up in another order on another processor.
    return Scored(items, parts, weights, (parts * weights).sum(axis=1), expected)


def recommend(user: str, shopper: Shopper, shelf: Shelf, model: Expects, mix: Mix) -> Recommended:
    """Return the best of what the customer does not own, each with one reason.

    Equals are in an order of the customer and the moment: new items are all tried by somebody.
    """
    scored = score(user, shopper, shelf, model, mix)
    best = _best(scored, mix.count, crc32(f"{user}@{shelf.now}".encode()))
    reasons = Reasons(shopper, scored, model.settings.high)
    found = tuple(_suggestion(scored, at, reasons) for at in best)
    return Recommended(found, dict(zip(PARTS, scored.weights.tolist(), strict=True)))


def _best(scored: Scored, count: int, seed: int) -> list[int]:
    """Return the indices of the highest scores, best first; of equals, the chance that `seed` gives each decides."""
    scores = scored.scores
    least = np.partition(scores, -count)[-count] if len(scores) > count else -np.inf
    near = np.flatnonzero(scores >= least)
    chance = np.array([crc32(scored.items[at].id.encode(), seed) for at in near.tolist()])
    found: list[int] = near[np.lexsort((chance, -scores[near]))][:count].tolist()
    return found


def _suggestion(scored: Scored, at: int, reasons: "Reasons") -> Suggestion:
    part, words = reasons.of(at)
    parts = dict(zip(PARTS, scored.parts[at].tolist(), strict=True))
    return Suggestion(scored.items[at].id, float(scored.scores[at]), part, words, parts)


def _content(shopper: Shopper, items: Offered) -> Scores:
    sets = items.shelf.sets
    lifts = [math.log(lift) for lift in shopper.lifts(items.shelf.shares())]
    means = sets.sums(np.array(lifts)) / sets.sizes
    # Exponentials of arrays may differ from those of single numbers in the last bit, and between processors.
    likelihoods = np.array([1.0 / (1.0 + math.exp(-mean)) for mean in means.tolist()])
    return likelihoods[sets.codes[items.rows]]


def _trending(items: Offered, half_life_ms: int) -> Scores:
    weights, times = items.shelf.weights[items.rows], items.shelf.times[items.rows]
    present = weights * np.exp2(-np.maximum(items.shelf.now - times, 0.0) / half_life_ms)
    greatest = present.max(initial=0.0)
    return cast("Scores", present / greatest if greatest > 0.0 else present)


def _shared(weights: Scores, known: Sequence[bool]) -> Scores:
    """Return the weights of the parts that know something, summing to 1; all 0 when none does."""
    kept = np.where(known, weights, 0.0)
    return cast("Scores", kept / kept.sum()) if kept.sum() > 0.0 else kept


class Reasons:
    """Says why an item is recommended: by the part that lifts it most above the other candidates, in its numbers."""

    def __init__(self, shopper: Shopper, scored: Scored, best: float) -> None:
        self._shopper = shopper
        self._scored = scored
        self._best = best
        self._weights: list[float] = scored.weights.tolist()
        self._usual: list[float] = scored.parts.mean(axis=0).tolist() if scored.items else []
        self._demand = np.ascontiguousarray(scored.parts[:, PARTS.index("trending")])
        self._words = {"collaborative": self._collaborative, "content": self._content, "trending": self._trending}

    def of(self, at: int) -> tuple[Part, str]:
        """Return the part and the words for the candidate at an index."""
        parts = zip(PARTS, self._scored.parts[at].tolist(), self._usual, self._weights, strict=True)
        lifts = {part: (own - usual) * weight for part, own, usual, weight in parts if weight > 0.0}
        for part in sorted(lifts, key=lifts.__getitem__, reverse=True):
            if (told := self._words[part](at)) is not None:
                return part, told
        if "collaborative" in lifts:
            return "collaborative", f"We expect you to rate it {self._scored.expected[at]:.1f} of {self._best:g}"
        return "trending", f"One of {len(self._scored.items)} that you do not have"

    def _collaborative(self, at: int) -> str | None:
        expected, usual = float(self._scored.expected[at]), self._shopper.overall.mean
        if math.isnan(usual):
            return f"We expect you to rate it {expected:.1f} of {self._best:g}"
        if round(expected, 1) <= round(usual, 1):
            return None
        return f"We expect you to rate it {expected:.1f}; your average is {usual:.1f}"

    def _content(self, at: int) -> str | None:
        name = self._shopper.favourite(self._scored.items[at].categories)
        if name is None:
            return None
        liking = self._shopper.likings[name]
        if liking.rated:
            return f"You rated {_items(liking.rated, name)} {liking.mean:.1f} on average; this is {name} too"
        return f"You chose {_items(liking.chosen, name)}; this is {name} too"

    def _trending(self, at: int) -> str | None:
        demand = self._scored.items.demand(at)
        if demand is None:
            return None
        place = 1 + int(np.count_nonzero(self._demand > self._demand[at]))
        if place > TOP_PLACES:
            return None
        return (
            f"Number {place} in demand now of {len(self._demand)} you do not have; chosen {_times(demand.count)} so far"
        )


def _items(count: int, category: str) -> str:
    return f"{count} {category} item{'' if count == 1 else 's'}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
