"""Shelves: what there is to recommend, as arrays that follow the catalogue and the demand for each item."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import compress
from operator import is_not, itemgetter
from typing import overload

import numpy as np

from online_models.base import Vector
from online_models.category_sets import CategorySets
from online_models.factor_state import Indices, Matrix
from online_models.factorisation import Item
from online_models.split_factors import Halves
from processors.base import Tables, is_as_it_was
from schemas.recommendation_results import CatalogueItem, ItemDemand
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS

Told = Sequence[ItemDemand | None]


class Shelf:
    """Items and the demand for each at an event time (milliseconds), a row each in the order of `items`.

    `weights` (N,) is the demand as of `times` (N,), `told` the demand as it was said, None where nothing was.
    """

    def __init__(self, items: Sequence[Item], demand: Mapping[str, ItemDemand], now: int) -> None:
        self.items = tuple(items)
        self.sets = CategorySets([item.categories for item in items])
        self.now = now
        count = len(items)
        self.told: Told = (None,) * count
        self.weights, self.times = np.zeros(count), np.zeros(count)
        self._biases, self._factors = np.zeros(count), np.zeros((count, 0))
        self._chosen, self.rated = [0] * len(self.sets.names), 0
        self._rows: dict[str, list[int]] = {}
        for row, item in enumerate(items):
            self._rows.setdefault(item.id, []).append(row)
        self.follow([demand.get(item.id) for item in items], now)

    def follow(self, told: Told, now: int) -> None:
        """Take in the demand for each item as it is at `now`. What came before makes no difference."""
        for row in compress(range(len(told)), map(is_not, told, self.told)):
            self._take(row, told[row], self.told[row])
        self.told, self.now = told, now

    def without(self, owned: Collection[str]) -> "Offered":
        """Return the items that are none of those owned."""
        left = np.ones(len(self.items), dtype=np.bool_)
        for item in owned:
            for row in self._rows.get(item, ()):
                left[row] = False
        return Offered(self, np.flatnonzero(left))

    def shares(self) -> dict[str, float]:
        """Return which share each category has in all that was chosen, each chosen once more; they sum to 1."""
        total = sum(self._chosen) + len(self._chosen)
        return {name: (count + 1) / total for name, count in zip(self.sets.names, self._chosen, strict=True)}

    @property
    def halves(self) -> Halves:
        """The items' halves of the rating model, which rest with the demand for them."""
        return Halves(self._biases, self._factors, self.sets)

    @property
    def is_in_demand(self) -> bool:
        """Whether any item was ever chosen."""
        return any(self.told)

    def _take(self, row: int, demand: ItemDemand | None, before: ItemDemand | None) -> None:
        known = (0.0, 0, 0.0) if demand is None else (demand.weight, demand.event_time, demand.bias)
        self.weights[row], self.times[row], self._biases[row] = known
        self.rated += _is_rated(demand) - _is_rated(before)
        self._factors = _with_row(self._factors, row, () if demand is None else demand.factors)
        more = _count(demand) - _count(before)
        for column in self.sets.columns[self.sets.codes[row]]:
            self._chosen[column] += more


class Offered(Sequence[Item]):
    """Some of the items of a shelf: those in `rows` (n,)."""

    def __init__(self, shelf: Shelf, rows: Indices) -> None:
        self.shelf = shelf
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> "Offered": ...
    def __getitem__(self, at: int | slice) -> "Item | Offered":
        if isinstance(at, slice):
            return Offered(self.shelf, self.rows[at])
        return self.shelf.items[int(self.rows[at])]

    def __iter__(self) -> Iterator[Item]:
        return map(self.shelf.items.__getitem__, self.rows.tolist())

    def demand(self, at: int) -> ItemDemand | None:
        """Return the demand for the item at an index."""
        return self.shelf.told[int(self.rows[at])]


class Shelves:
    """The shelf of each tenant as the tables stand, built anew only when the catalogue has changed."""

    def __init__(self) -> None:
        self._entries: Sequence[CatalogueItem] = ()
        self._shelves: dict[str, tuple[list[str], Shelf]] = {}

    def at(self, now: int, tenant: str, tables: Tables) -> Shelf:
        """Return what a tenant offers at `now`: what is active; it holds until the next one is asked for."""
        catalogue: Mapping[str, CatalogueItem] = tables[ITEMS]
        if not is_as_it_was(catalogue, self._entries):
            self._entries = tuple(catalogue.values())
            self._shelves.clear()
        keys, shelf = self._shelves.get(tenant) or self._built(tenant, catalogue)
        shelf.follow(list(map(tables[ITEM_DEMANDS].get, keys)), now)
        return shelf

    def _built(self, tenant: str, catalogue: Mapping[str, CatalogueItem]) -> tuple[list[str], Shelf]:
        # Tables are filled in whichever order their partitions come.
        entries = sorted(catalogue.items(), key=itemgetter(0))
        active = {key: each for key, each in entries if each.status == "active" and each.tenant == tenant}
        found = list(active), Shelf([Item(each.item, each.categories) for each in active.values()], {}, 0)
        if active:
            self._shelves[tenant] = found
        return found


def _is_rated(demand: ItemDemand | None) -> bool:
    return demand is not None and demand.rated > 0


def _count(demand: ItemDemand | None) -> int:
    return 0 if demand is None else demand.count


def _with_row(factors: Matrix, row: int, told: Vector | Sequence[float]) -> Matrix:
    """Return the factors with one row as told; the first to be told say how many there are."""
    if len(told) and not factors.size:
        factors = np.zeros((len(factors), len(told)))
    factors[row] = told if len(told) else 0.0
    return factors
