"""The rating model: equal to its naive form, exact after a restart, within its bounds whatever is rated."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models import factor_kernels, factorisation
from online_models.factor_state import Rows, first_factors
from online_models.factorisation import Factorisation, FactorSettings, Item
from online_models.river_recommenders import RiverRatings, river_baseline, river_biased_mf
from tests.online_models.naive_factorisation import NaiveFactorisation

MINUTE = 60_000
GENRES = ("Comedy", "Drama", "War")
ITEMS = tuple(Item(f"i{n}", tuple(g for k, g in enumerate(GENRES) if n >> k & 1)) for n in range(8))

Rating = tuple[str, Item, int, float]

ratings = st.lists(
    st.tuples(
        st.sampled_from(("ann", "bob", "cat")),
        st.sampled_from(ITEMS),
        st.integers(0, 500).map(lambda minute: minute * MINUTE),
        st.floats(1.0, 5.0),
    ),
    max_size=40,
)


def some(count: int, seed: int = 1, users: int = 20) -> list[Rating]:
    rng = np.random.default_rng(seed)
    return [
        (
            f"u{rng.integers(users)}",
            ITEMS[rng.integers(8)],
            n * MINUTE,
            float(rng.integers(1, 6)),
        )
        for n in range(count)
    ]


def trained(stream: list[Rating], chosen: FactorSettings | None = None) -> Factorisation:
    model = Factorisation(chosen)
    for rating in stream:
        model.learn_one(*rating)
    return model


def expected(model: Factorisation) -> list[float]:
    return [model.predict_one(f"u{n}", item, 10**9) for n in range(21) for item in (*ITEMS, Item("new", ("War",)))]


@settings(max_examples=60)
@given(stream=ratings, low=st.sampled_from((1.0, -3.0)), high=st.sampled_from((5.0, 100.0)), factors=st.integers(1, 20))
def test_the_fast_form_equals_the_naive_one(stream: list[Rating], low: float, high: float, factors: int) -> None:
    chosen = FactorSettings(low=low, high=high, factors=factors, spread=0.5)
    fast, naive = Factorisation(chosen), NaiveFactorisation(chosen)
    for user, item, at, rating in stream:
        assert fast.predict_one(user, item, at) == pytest.approx(naive.predict_one(user, item, at), abs=1e-9)
        fast.learn_one(user, item, at, rating)
        naive.learn_one(user, item, at, rating)


def test_the_compiled_arithmetic_says_what_it_says_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = trained(some(60))
    several = fast.predict_many("u1", ITEMS, 10**8)
    singly = expected(fast)
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    spec = importlib.util.spec_from_file_location("plain_factor_kernels", factor_kernels.__file__)
    assert spec is not None
    assert spec.loader is not None
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    monkeypatch.setattr(factorisation, "kernels", plain)
    slow = trained(some(60))
    assert slow.predict_many("u1", ITEMS, 10**8) == pytest.approx(several, abs=1e-12)
    assert expected(slow) == pytest.approx(singly, abs=1e-12)


@given(stream=ratings, extreme=st.sampled_from((1.0, 5.0)))
def test_what_is_expected_stays_on_the_scale(stream: list[Rating], extreme: float) -> None:
    model = trained(stream, FactorSettings(factor_rate=5.0, spread=1.0))
    for n in range(60):
        model.learn_one("ann", ITEMS[n % 3], n, extreme if n % 2 else 3.0)
        assert 1.0 <= model.predict_one("ann", ITEMS[n % 8], n) <= 5.0


def test_many_are_expected_as_one_by_one() -> None:
    model = trained(some(300))
    asked = [*ITEMS, Item("new", ("War", "unheard of")), Item("bare")]
    for user in ("u3", "stranger"):
        single = [model.predict_one(user, item, 10**8) for item in asked]
        assert model.predict_many(user, asked, 10**8).tolist() == single
    assert model.predict_many("u3", [], 0).size == 0


def test_a_model_goes_on_from_its_snapshot_to_the_last_bit() -> None:
    stream = some(400)
    straight, other = trained(stream[:200]), Factorisation(FactorSettings(factors=3))
    other.restore(straight.snapshot())
    assert other.settings == straight.settings
    for rating in stream[200:]:
        straight.learn_one(*rating)
        other.learn_one(*rating)
    assert expected(other) == expected(straight)
    assert other.snapshot() == straight.snapshot()
    assert (other.learned, other.users, other.items) == (400, 20, 8)


def test_a_restored_model_forgets_whom_the_other_would_have_forgotten() -> None:
    chosen = FactorSettings(most_users=5, most_items=3)
    stream = some(300)
    straight, other = trained(stream[:150], chosen), Factorisation()
    other.restore(straight.snapshot())
    for rating in stream[150:]:
        straight.learn_one(*rating)
        other.learn_one(*rating)
    assert expected(other) == expected(straight)


def test_a_new_model_restores_to_nothing() -> None:
    model = trained(some(50))
    model.restore(Factorisation().snapshot())
    assert expected(model) == expected(Factorisation())
    assert model.learned == 0


@pytest.mark.parametrize("cut", [0, 5, -1, -200])
def test_bytes_that_are_no_snapshot_change_nothing(cut: int) -> None:
    model = trained(some(50))
    before = model.snapshot()
    with pytest.raises(ValueError, match="not a snapshot"):
        model.restore(before[:cut])
    assert model.snapshot() == before


def test_a_snapshot_whose_rows_are_too_few_is_refused() -> None:
    whole = trained([("ann", ITEMS[1], 0, 3.0)]).snapshot()
    renamed = whole.replace(b"\xa5users\x91\xa3ann", b"\xa5users\x92\xa3ann\xa3bob")
    assert renamed != whole
    with pytest.raises(ValueError, match="not a snapshot"):
        Factorisation().restore(renamed)


@pytest.mark.parametrize("rating", [math.nan, math.inf, -math.inf, 0.9, 5.1])
def test_a_rating_off_the_scale_is_refused_and_changes_nothing(rating: float) -> None:
    model = trained(some(50))
    before = model.snapshot()
    with pytest.raises(ValueError, match=r"rating of 'i1' by 'ann' is .*, not on the scale from 1 to 5"):
        model.learn_one("ann", ITEMS[1], 0, rating)
    assert model.snapshot() == before


def test_asking_changes_nothing() -> None:
    model = trained(some(100))
    before = model.snapshot()
    expected(model)
    model.predict_many("stranger", [Item("new", ("unheard of",))], 0)
    assert model.snapshot() == before


def test_of_strangers_what_is_known_of_the_other_speaks() -> None:
    model = Factorisation()
    assert model.predict_one("ann", Item("i"), 0) == 3.0
    for n in range(30):
        model.learn_one(f"u{n}", Item("good"), 0, 5.0)
        model.learn_one(f"u{n}", Item("bad"), 0, 1.0)
        model.learn_one("grump", Item(f"i{n}"), 0, 1.0)
    assert model.predict_one("stranger", Item("good"), 0) > 3.5
    assert model.predict_one("stranger", Item("bad"), 0) < 2.5
    assert model.predict_one("grump", Item("new"), 0) < 2.0


def test_a_taste_carries_over_to_new_items_of_the_category() -> None:
    model = Factorisation()
    for n in range(20):
        model.learn_one("ann", Item(f"c{n}", ("Comedy",)), n, 5.0)
        model.learn_one("ann", Item(f"w{n}", ("War",)), n, 1.0)
    later = 10**9
    assert model.predict_one("ann", Item("a", ("Comedy",)), later) > model.predict_one(
        "ann", Item("b", ("War",)), later
    )


def test_a_mood_fades() -> None:
    model = trained(some(200))
    for n in range(10):
        model.learn_one("u1", Item(f"x{n}"), 10**8, 1.0)
    soon, later = (model.predict_one("u1", ITEMS[0], 10**8 + wait) for wait in (0, 10**8))
    assert soon < later


def test_first_factors_depend_on_the_id_and_the_seed_alone() -> None:
    ann = first_factors("ann", 7, 2_000, 0.1)
    assert ann.tolist() == first_factors("ann", 7, 2_000, 0.1).tolist()
    assert ann.tolist() != first_factors("bob", 7, 2_000, 0.1).tolist()
    assert ann.tolist() != first_factors("ann", 8, 2_000, 0.1).tolist()
    assert ann.mean() == pytest.approx(0.0, abs=0.01)
    assert ann.std() == pytest.approx(0.1, abs=0.005)


def test_the_order_in_which_users_come_does_not_matter_to_others() -> None:
    alone = [("ann", Item("a"), 0, 4.0), ("bob", Item("b"), 0, 4.0)]
    one, other = trained(alone), trained(alone[::-1])
    for user, item in (("ann", Item("a")), ("bob", Item("b"))):
        learned = (model._state.users.factors[model._user_rows.get(user)].tolist() for model in (one, other))
        assert next(learned) == next(learned)
        assert one.predict_one(user, item, 0) == pytest.approx(other.predict_one(user, item, 0), abs=0.5)


def test_what_was_used_longest_ago_gives_its_row_to_the_next() -> None:
    rows = Rows(2)
    assert [rows.use(name) for name in ("a", "b", "a", "c")] == [(0, True), (1, True), (0, False), (1, True)]
    assert (list(rows), rows.get("b"), len(rows)) == (["a", "c"], -1, 2)


def test_memory_is_bounded() -> None:
    chosen = FactorSettings(most_users=10, most_items=5, most_categories=2)
    model = Factorisation(chosen)
    for n in range(500):
        model.learn_one(f"u{n}", Item(f"i{n}", (f"c{n}",)), n, 4.0)
    assert (model.users, model.items) == (10, 5)
    assert [len(array) for array in (*model._state.users, *model._state.items)] == [10] * 4 + [5] * 2
    fresh = Factorisation(chosen)
    assert len(model.snapshot()) < 10 * 1_000 + 5 * 400 + len(fresh.snapshot())


def test_one_who_was_forgotten_is_a_stranger() -> None:
    model = Factorisation(FactorSettings(most_users=1))
    for n in range(9):
        model.learn_one("ann", Item(f"i{n}"), n, 1.0)
    model.learn_one("bob", Item("z"), 10, 3.0)
    assert model.predict_one("ann", Item("q"), 10) == model.predict_one("stranger", Item("q"), 10)


@pytest.mark.parametrize("wrong", [{"low": 5.0}, {"high": math.inf}, {"low": math.nan}])
def test_a_scale_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a scale needs a finite low below its high"):
        FactorSettings(**wrong)


def test_a_model_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FactorSettings(factors=0)


def test_many_sets_of_categories_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("online_models.factorisation.CACHED", 4)
    model = trained(some(50))
    for n in range(50):
        model.predict_one("u1", Item("i", (f"c{n}",)), 0)
    assert len(model._cached) <= 4


@pytest.mark.parametrize("make", [river_baseline, river_biased_mf])
def test_rivers_models_keep_the_same_protocol(make: Callable[[], RiverRatings]) -> None:
    model = make()
    for rating in some(300):
        model.learn_one(*rating)
    assert 1.0 < model.predict_one("u1", ITEMS[1], 0) < 5.0
