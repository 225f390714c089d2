"""Shelves follow the tables: what is recommended is what loops over the tables would say, whatever was asked before."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models.category_sets import CategorySets
from online_models.factorisation import FactorSettings, Item
from online_models.split_factors import SplitFactors
from processors.recommendations import Mix
from processors.recommender import Customer, Recommender, half_of
from processors.shelf import Shelf, Shelves
from schemas.keys import keyed
from schemas.recommendation_results import CatalogueItem, ItemDemand, Recommendations
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS
from schemas.records import DAY, DUE, Due, Record
from tests.builders import NOON, moment
from tests.processors.naive_recommendations import NaiveRecommendations, added

MODEL = SplitFactors(FactorSettings(factors=3, spread=0.5))
TENANTS = ("default", "acme")
ITEM = st.sampled_from([f"item-{n}" for n in range(7)])
TENANT = st.sampled_from(TENANTS)
CATEGORIES = st.lists(st.sampled_from(("Horror", "Comedy", "War", "Space")), max_size=3).map(tuple)
STEP = st.floats(-2.0, 2.0)
ENTRY = st.tuples(ITEM, TENANT, CATEGORIES, st.sampled_from(("active", "active", "paused")))
FACTORS = st.one_of(st.just(()), st.tuples(STEP, STEP, STEP))
DEMAND = st.tuples(ITEM, TENANT, st.floats(0.0, 9.0), st.integers(0, 30), st.integers(0, 4), STEP, FACTORS)
CHOICE = st.tuples(ITEM, CATEGORIES, st.one_of(st.none(), st.integers(1, 5)))
CHANGES = st.lists(st.one_of(ENTRY, DEMAND, st.tuples(ITEM, TENANT), CHOICE), max_size=20)


def entry(item: str, tenant: str, categories: tuple[str, ...], status: Any) -> CatalogueItem:
    return CatalogueItem(
        event_id=item, event_time=moment(NOON), item=item, tenant=tenant, categories=categories, status=status
    )


def demand(item: str, tenant: str, weight: float, days: int, rated: int, bias: float, factors: Any) -> ItemDemand:
    return ItemDemand(
        event_id=item,
        event_time=NOON - days * DAY,
        tenant=tenant,
        item=item,
        weight=weight,
        count=rated + days,
        rated=rated,
        bias=bias,
        factors=factors,
    )


class World:
    """Tables that change, a customer of each tenant, and a recommender that has seen all of it."""

    def __init__(self, model: SplitFactors = MODEL) -> None:
        self.tables: dict[Any, dict[str, Any]] = {ITEMS: {}, ITEM_DEMANDS: {}}
        self.model = model
        self.mix = Mix(count=4)
        self.recommender = Recommender(model, self.mix)
        self.customers = [Customer("ann", tenant, model.newcomer("ann")) for tenant in TENANTS]

    def take(self, change: tuple[Any, ...]) -> None:
        """Take in an entry, a demand, the end of both, or what a customer chose and rated."""
        match change:
            case (item, tenant, categories, status):
                self.tables[ITEMS][keyed(tenant, item)] = entry(item, tenant, categories, status)
            case (item, tenant, *_) if len(change) == 7:
                self.tables[ITEM_DEMANDS][keyed(tenant, item)] = demand(*change)
            case (item, tenant):
                for table in self.tables.values():
                    table.pop(keyed(tenant, item), None)
            case (item, categories, rating):
                for customer in self.customers:
                    customer.shopper.choose(item, categories, 1.0, rating)
                    if rating is not None:
                        half = demand(item, "", 0.0, 0, 0, 0.5, (0.1, -0.2, 0.3))
                        about = Item(item, categories)
                        self.model.learn(customer.half, about, half_of(half), (NOON, float(rating)))

    def told(self) -> Iterator[tuple[Any, Any]]:
        """Yield what each customer is recommended, beside what the naive form says."""
        for customer in self.customers:
            _, said = self.recommender.step(customer, Record(DUE, Due("ann", NOON + DAY), "due"), self.tables)
            for each in said:
                found: Recommendations = each.message
                naive = NaiveRecommendations(customer.tenant, self.tables, found.event_time, self.mix)
                made = naive.recommend("ann", customer.shopper, customer.half)
                yield (found.items, found.weights), (made.items, made.weights)


@settings(max_examples=150, deadline=None)
@given(changes=CHANGES)
def test_what_is_recommended_is_what_loops_over_the_tables_say_to_the_last_bit(changes: list[tuple[Any, ...]]) -> None:
    world = World()
    for change in changes:
        world.take(change)
        for found, naive in world.told():
            assert found == naive


def test_a_large_shelf_is_exact_too() -> None:
    chance, world = np.random.default_rng(1), World()
    for n in range(700):
        names = tuple(f"k{k}" for k in chance.integers(0, 12, chance.integers(0, 5)))
        world.take((f"i{n}", "default", names, "active"))
    for n in chance.integers(0, 700, 1_500).tolist():
        values = chance.normal(size=4).tolist()
        world.take((f"i{n}", "default", float(n % 9), n % 20, n % 4, values[0], tuple(values[1:])))
        if n % 100 == 0:
            world.take((f"i{n}", (f"k{n % 12}",), 1 + n % 5))
            assert all(found == naive for found, naive in world.told())


def test_the_order_in_which_a_table_was_filled_makes_no_difference() -> None:
    model, count = SplitFactors(FactorSettings(factors=20, spread=0.5)), 703
    values = {n: (0.3 * np.random.default_rng(n).normal(size=21)).tolist() for n in range(count)}
    said = []
    for seed in range(4):
        world = World(model)
        world.recommender = Recommender(model, Mix(count=count))
        for n in np.random.default_rng(seed).permutation(count).tolist():
            world.take((f"i{n}", "default", (f"k{n % 7}",), "active"))
            told = (f"i{n}", "default", float(n % 9), n % 20, 1 + n % 4, values[n][0], tuple(values[n][1:]))
            world.tables[ITEM_DEMANDS][keyed("default", f"i{n}")] = demand(*told)
        (customer, _) = world.customers
        world.model.learn(customer.half, Item("i3", ("k3",)), half_of(None), (NOON, 4.0))
        _, (each,) = world.recommender.step(customer, Record(DUE, Due("ann", NOON + DAY), "due"), world.tables)
        said.append(each.message)
    assert said == said[:1] * 4


@given(changes=CHANGES)
def test_a_shelf_that_has_followed_the_tables_is_as_a_new_one(changes: list[tuple[Any, ...]]) -> None:
    world, kept = World(), Shelves()
    for change in changes:
        world.take(change)
        for tenant in TENANTS:
            old, new = (shelves.at(NOON, tenant, world.tables) for shelves in (kept, Shelves()))
            assert old.items == new.items
            assert old.told == new.told
            assert (old.shares(), old.rated, old.is_in_demand) == (new.shares(), new.rated, new.is_in_demand)
            assert old.weights.tolist() == new.weights.tolist()
            assert old.times.tolist() == new.times.tolist()
            assert old.halves.biases.tolist() == new.halves.biases.tolist()


def test_an_unknown_tenant_leaves_nothing_behind() -> None:
    world, shelves = World(), Shelves()
    world.take(("item-1", "default", (), "active"))
    for n in range(50):
        assert len(shelves.at(NOON, f"nobody-{n}", world.tables).items) == 0
    assert len(shelves.at(NOON, "default", world.tables).items) == 1
    assert len(shelves._shelves) == 1


def test_the_items_that_are_not_owned_are_a_sequence() -> None:
    shelf = Shelf([Item("a"), Item("b"), Item("c")], {}, NOON)
    left = shelf.without(("b", "unknown"))
    assert list(left) == [Item("a"), Item("c")] == [left[0], left[1]]
    assert list(left[1:]) == [Item("c")]
    assert Item("b") not in left


@given(st.lists(CATEGORIES, max_size=8), st.lists(STEP, min_size=4, max_size=4))
def test_sums_by_combination_are_those_by_item(categories: list[tuple[str, ...]], values: list[float]) -> None:
    sets = CategorySets(categories)
    known = dict(zip(sets.names, values, strict=False))
    sums = sets.sums(np.array(list(known.values())))
    assert [sums[code] for code in sets.codes] == [added(known[name] for name in each) for each in categories]


def test_factors_of_another_length_are_refused() -> None:
    told = {
        name: demand(name, "default", 1.0, 0, 1, 0.0, factors)
        for name, factors in (("a", (1.0,) * 3), ("b", (1.0,) * 2))
    }
    with pytest.raises(ValueError, match="could not broadcast"):
        Shelf([Item("a"), Item("b")], told, NOON)
