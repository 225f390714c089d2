"""Recommendations: never what is owned, by declared weights, for strangers and new items too, with true reasons."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.factorisation import Factorisation, Item
from processors.recommendations import PARTS, Mix, decayed, more_demand, recommend, score
from processors.shelf import Shelf
from processors.shopper import Shopper
from schemas.recommendation_results import ItemDemand, Suggestion
from schemas.records import DAY

ITEMS = (
    Item("alien", ("Horror", "Space")),
    Item("airplane", ("Comedy",)),
    Item("brazil", ("Comedy", "Space")),
    Item("casablanca", ("Romance",)),
    Item("duck soup", ("Comedy",)),
    Item("bare"),
)
NOW = 1_000 * DAY


def demand_for(item: str, *times: int) -> ItemDemand:
    found = None
    for at in times:
        found = more_demand(found, item, (f"e{at}", at, "default"), 7 * DAY)
    assert found is not None
    return found


DEMAND = {
    "alien": demand_for("alien", NOW, NOW, NOW, NOW),
    "casablanca": demand_for("casablanca", NOW - 70 * DAY, NOW - 70 * DAY, NOW - 70 * DAY),
    "duck soup": demand_for("duck soup", NOW),
}
SHELF = Shelf(ITEMS, DEMAND, NOW)


def taught() -> Factorisation:
    model = Factorisation()
    for n in range(20):
        model.learn_one(f"u{n}", ITEMS[0], NOW, 5.0)
        model.learn_one(f"u{n}", ITEMS[3], NOW, 2.0)
    return model


def comedian() -> Shopper:
    """One who rated four comedies 4.5 on average, and a romance 2."""
    shopper = Shopper()
    for n, rating in enumerate((4.0, 5.0, 4.0, 5.0)):
        shopper.choose(f"c{n}", ("Comedy",), (rating - 1) / 4, rating)
    shopper.choose("r", ("Romance",), 0.25, 2.0)
    return shopper


def offered(shopper: Shopper, shelf: Shelf = SHELF, mix: Mix | None = None) -> tuple[Suggestion, ...]:
    return recommend("ann", shopper, shelf, taught(), mix or Mix()).items


@given(owned=st.sets(st.sampled_from([item.id for item in ITEMS])), count=st.integers(1, 8))
def test_what_is_owned_is_never_recommended(owned: set[str], count: int) -> None:
    shopper = Shopper(owned=dict.fromkeys(owned))
    told = [suggestion.item for suggestion in offered(shopper, mix=Mix(count=count))]
    assert not owned & set(told)
    assert len(told) == len(set(told)) == min(count, len(ITEMS) - len(owned))


def test_a_score_is_the_weighted_sum_of_the_parts() -> None:
    weights = (0.5, 0.3, 0.2)
    for suggestion in offered(comedian(), mix=Mix(*weights)):
        total = sum(weight * suggestion.parts[part] for weight, part in zip(weights, PARTS, strict=True))
        assert suggestion.score == pytest.approx(total)
        assert all(0.0 <= part <= 1.0 for part in suggestion.parts.values())


def test_the_best_come_first() -> None:
    scores = [suggestion.score for suggestion in offered(comedian())]
    assert scores == sorted(scores, reverse=True)


def test_of_equals_each_is_tried_by_somebody() -> None:
    def first(user: str, now: int) -> str:
        shelf = Shelf(ITEMS, {}, now)
        return recommend(user, Shopper(), shelf, Factorisation(), Mix(count=1)).items[0].item

    assert {first(f"u{n}", NOW) for n in range(200)} == {first("ann", NOW + n) for n in range(200)}
    assert {first(f"u{n}", NOW) for n in range(200)} == {item.id for item in ITEMS}
    assert first("ann", NOW) == first("ann", NOW)


@pytest.mark.parametrize(
    ("mix", "first"),
    [(Mix(1.0, 0.0, 0.0), "alien"), (Mix(0.0, 1.0, 0.0), "airplane"), (Mix(0.0, 0.0, 1.0), "alien")],
)
def test_each_part_puts_its_own_item_first(mix: Mix, first: str) -> None:
    assert offered(comedian(), mix=mix)[0].item == first


def test_weights_of_parts_that_know_nothing_yet_go_to_the_others() -> None:
    def weights(shopper: Shopper, shelf: Shelf, model: Factorisation) -> list[float]:
        return [round(weight, 3) for weight in score("ann", shopper, shelf, model, Mix()).weights.tolist()]

    assert weights(comedian(), SHELF, taught()) == [0.4, 0.35, 0.25]
    assert weights(Shopper(), SHELF, taught()) == [0.615, 0.0, 0.385]
    assert weights(Shopper(), SHELF, Factorisation()) == [0.0, 0.0, 1.0]
    assert weights(Shopper(), Shelf(ITEMS, {}, NOW), Factorisation()) == [0.0, 0.0, 0.0]


def test_a_new_item_of_a_liked_category_is_recommended() -> None:
    new = Item("new", ("Comedy",))
    told = offered(comedian(), Shelf((*ITEMS, new), DEMAND, NOW))
    assert "new" in [suggestion.item for suggestion in told[:4]]


def test_a_stranger_gets_what_everybody_likes_and_wants() -> None:
    assert offered(Shopper())[0].item == "alien"


def test_reasons_are_true_words_about_the_numbers() -> None:
    reasons = {suggestion.item: (suggestion.part, suggestion.reason) for suggestion in offered(comedian())}
    assert reasons["airplane"] == ("content", "You rated 4 Comedy items 4.5 on average; this is Comedy too")
    assert reasons["alien"] == ("trending", "Number 1 in demand now of 6 you do not have; chosen 4 times so far")


def test_what_was_bought_and_not_rated_is_a_reason_too() -> None:
    shopper = Shopper()
    shopper.choose("c", ("Comedy",), 1.0)
    told = {suggestion.item: suggestion.reason for suggestion in offered(shopper, mix=Mix(0.0, 1.0, 0.0))}
    assert told["airplane"] == "You chose 1 Comedy item; this is Comedy too"


def test_what_is_disliked_is_no_reason() -> None:
    reasons = [suggestion.reason for suggestion in offered(comedian(), mix=Mix(0.0, 1.0, 0.0))]
    assert not any("Romance" in reason for reason in reasons)


def test_an_expectation_is_compared_with_the_customers_own_average() -> None:
    shopper = Shopper()
    shopper.choose("x", (), 0.5, 3.0)
    told = {s.item: s.reason for s in offered(shopper, mix=Mix(1.0, 0.0, 0.0))}
    expected = taught().predict_one("ann", ITEMS[0], NOW)
    assert told["alien"] == f"We expect you to rate it {expected:.1f}; your average is 3.0"
    low = taught().predict_one("ann", ITEMS[3], NOW)
    assert told["casablanca"] == f"We expect you to rate it {low:.1f} of 5"


def test_nothing_known_is_said_as_it_is() -> None:
    told = recommend("ann", Shopper(), Shelf(ITEMS, {}, NOW), Factorisation(), Mix())
    assert {(s.part, s.reason) for s in told.items} == {("trending", "One of 6 that you do not have")}
    assert told.weights == dict.fromkeys(PARTS, 0.0)


def test_a_place_far_down_is_no_reason() -> None:
    items = tuple(Item(f"i{n:02}") for n in range(40))
    demand = {item.id: demand_for(item.id, *[NOW] * (50 - n)) for n, item in enumerate(items)}
    told = recommend("ann", Shopper(), Shelf(items, demand, NOW), taught(), Mix(0.01, 0.0, 1.0, count=40)).items
    places = [int(found[1]) for s in told if (found := re.match(r"Number (\d+) ", s.reason))]
    assert max(places) <= 20


def test_an_empty_shelf_recommends_nothing() -> None:
    assert recommend("ann", comedian(), Shelf((), {}, NOW), taught(), Mix()).items == ()


def test_demand_halves_in_a_half_life_whatever_the_order_of_events() -> None:
    week = 7 * DAY
    in_order = demand_for("a", NOW, NOW + week, NOW + 2 * week)
    late = demand_for("a", NOW + 2 * week, NOW, NOW + week)
    assert in_order.weight == pytest.approx(1.75)
    assert late.weight == pytest.approx(1.75)
    assert (late.count, late.event_time) == (3, NOW + 2 * week)
    assert decayed(in_order, NOW + 3 * week, week) == pytest.approx(0.875)
    assert decayed(in_order, NOW, week) == in_order.weight


def test_shares_count_what_everybody_chose() -> None:
    assert SHELF.shares() == {"Horror": 5 / 16, "Space": 5 / 16, "Romance": 4 / 16, "Comedy": 2 / 16}


def test_a_customer_like_everybody_has_hardly_any_lift() -> None:
    shopper = Shopper()
    for item, demand in DEMAND.items():
        categories = next(each.categories for each in ITEMS if each.id == item)
        for _ in range(demand.count):
            shopper.choose(item, categories, 1.0)
    parts = score("ann", Shopper(likings=shopper.likings), SHELF, taught(), Mix()).parts
    assert parts[:, PARTS.index("content")] == pytest.approx(np.full(len(ITEMS), 0.5), abs=0.05)


@pytest.mark.parametrize("weights", [(-0.1, 1.0, 1.0), (0.0, 0.0, 0.0), (float("nan"), 1.0, 1.0)])
def test_weights_that_are_none_are_refused(weights: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="weights are at least 0 and not all 0"):
        Mix(*weights)


def test_a_mix_that_recommends_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Mix(count=0)
