"""The rating model in two halves learns what the naive model learns, key by key."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models.base import Vector
from online_models.category_sets import CategorySets
from online_models.factorisation import FactorSettings, Item
from online_models.river_recommenders import river_biased_mf
from online_models.split_factors import NEW_ITEM, Halves, ItemFactors, SplitFactors, UserFactors
from streams.rating_evaluation import Errors, progressive_errors
from streams.ratings import rating_history
from tests.online_models.naive_factorisation import NaiveFactorisation

MINUTE = 60_000
ITEMS = (Item("a"), Item("b", ("Comedy",)), Item("c", ("Comedy", "War")), Item("d", ("War",)))

ratings = st.lists(
    st.tuples(
        st.sampled_from(("ann", "bob")),
        st.sampled_from(ITEMS),
        st.integers(0, 100).map(lambda minute: minute * MINUTE),
        st.floats(1.0, 5.0),
    ),
    max_size=30,
)


def expected(split: SplitFactors, user: UserFactors, items: list[tuple[Item, ItemFactors]], at: int) -> Vector:
    """Return what is expected of items, each with its half."""
    factors = [half.factors or (0.0,) * len(user.factors) for _, half in items]
    sets = CategorySets([item.categories for item, _ in items])
    halves = Halves(np.array([half.bias for _, half in items]), np.array(factors), sets)
    return split.expect(user, halves, np.arange(len(items)), at)


class WithoutMean(NaiveFactorisation):
    """The naive model around a usual rating, in place of the mean."""

    def _expected(self, user: str, item: Item, at: int) -> float:
        self.ratings = [2.5]
        return super()._expected(user, item, at)


@settings(max_examples=60)
@given(stream=ratings)
def test_two_halves_equal_the_naive_model(stream: list[tuple[str, Item, int, float]]) -> None:
    chosen = FactorSettings(spread=0.5)
    split, naive = SplitFactors(chosen), WithoutMean(chosen)
    users = {name: split.newcomer(name) for name in ("ann", "bob")}
    items: dict[str, ItemFactors] = defaultdict(lambda: NEW_ITEM)
    for user, item, at, rating in stream:
        found = expected(split, users[user], [(each, items[each.id]) for each in ITEMS], at)
        assert found.tolist() == pytest.approx([naive.predict_one(user, each, at) for each in ITEMS], abs=1e-9)
        lesson = split.learn(users[user], item, items[item.id], (at, rating))
        items[item.id] = split.taught(items[item.id], lesson)
        naive.learn_one(user, item, at, rating)


def test_both_halves_survive_being_written() -> None:
    split = SplitFactors()
    user = split.newcomer("ann")
    item = split.taught(NEW_ITEM, split.learn(user, ITEMS[2], NEW_ITEM, (0, 5.0)))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(user), type=UserFactors) == user
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(item), type=ItemFactors) == item


@pytest.mark.parametrize("rating", [math.nan, math.inf, 0.0, 6.0])
def test_a_rating_off_the_scale_teaches_nothing(rating: float) -> None:
    split = SplitFactors()
    user = split.newcomer("ann")
    with pytest.raises(ValueError, match="not on the scale"):
        split.learn(user, ITEMS[1], NEW_ITEM, (0, rating))
    assert user == split.newcomer("ann")


def test_no_items_are_expected_nothing_of() -> None:
    split = SplitFactors()
    assert expected(split, split.newcomer("ann"), [], 0).size == 0


def test_categories_without_end_do_not_fill_the_memory() -> None:
    split = SplitFactors(FactorSettings(most_categories=3))
    user = split.newcomer("ann")
    for n in range(9):
        split.learn(user, Item("x", (f"c{n}",)), NEW_ITEM, (n, 4.0))
    assert len(user.tastes) == 3


def test_a_usual_rating_is_on_the_scale() -> None:
    with pytest.raises(ValueError, match="off the scale"):
        SplitFactors(usual=7.0)


@pytest.mark.data
def test_on_movielens_two_halves_are_better_than_rivers_biased_mf_by_one_percent(data_folder: Path) -> None:
    ratings = rating_history(data_folder / "movielens_100k" / "ratings_first_75000.tsv.gz").ratings
    split, errors = SplitFactors(), Errors()
    users: dict[str, UserFactors] = {}
    items: dict[str, ItemFactors] = defaultdict(lambda: NEW_ITEM)
    for user, item, at, value in ratings:
        mine = users.get(user) or users.setdefault(user, split.newcomer(user))
        errors.add(value - float(expected(split, mine, [(item, items[item.id])], at)[0]))
        items[item.id] = split.taught(items[item.id], split.learn(mine, item, items[item.id], (at, value)))
    biased = progressive_errors(river_biased_mf(), ratings, lambda _: None)
    assert errors.mae <= 0.99 * biased.mae
    assert errors.rmse <= 0.99 * biased.rmse
