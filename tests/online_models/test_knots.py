from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from online_models.additive_state import empty, place, placed
from online_models.knots import QUANTILES, fits, histogram_knots, quantile_knots

some_knots = st.lists(st.integers(-50, 50), min_size=2, max_size=8, unique=True).map(
    lambda values: np.array(sorted(values), dtype=float)
)


def held(knots, weights):
    """A state of one feature with these knots and weights, and gradients that wait."""
    state = empty(1, 8, np.array([0.5, 1.0, 0.1, 0.2, 0.01]), np.empty(0, dtype=np.int64))
    place(state, 0, knots)
    state.weights[0, : knots.size] = weights
    state.n[0, : knots.size] = 2.0
    state.z[0, : knots.size] = -3.0 * weights + 0.25
    return state


def value(state, x):
    knots = placed(state, 0)
    return np.interp(x, knots, state.weights[0, : knots.size])


@given(some_knots, some_knots, st.integers(0, 100))
def test_moving_knots_keeps_the_function_at_every_new_knot(old, new, seed):
    state = held(old, np.random.default_rng(seed).normal(size=old.size))
    before = value(state, new)
    place(state, 0, new)
    assert value(state, new) == pytest.approx(before, abs=1e-12)
    assert placed(state, 0).tolist() == new.tolist()


@given(some_knots, st.integers(0, 100))
def test_knots_that_stay_keep_all_that_was_learned(knots, seed):
    state = held(knots, np.random.default_rng(seed).normal(size=knots.size))
    z, weights = state.z.copy(), state.weights.copy()
    place(state, 0, knots)
    assert state.z == pytest.approx(z, abs=1e-12)
    assert state.weights.tolist() == weights.tolist()


def test_more_knots_change_nothing_anywhere():
    state = held(np.array([0.0, 10.0]), np.array([1.0, -1.0]))
    everywhere = np.linspace(-5.0, 15.0, 81)
    before = value(state, everywhere)
    place(state, 0, np.array([0.0, 2.0, 5.0, 7.0, 10.0]))
    assert value(state, everywhere) == pytest.approx(before, abs=1e-12)


def test_quantiles_of_a_flag_are_its_two_values():
    flags = np.array([0.0] * 70 + [1.0] * 30 + [np.nan] * 5)
    assert quantile_knots(flags, QUANTILES).tolist() == [0.0, 1.0]


def test_nothing_known_has_no_knots():
    assert quantile_knots(np.full(5, np.nan), QUANTILES).size == 0


def test_a_histogram_where_nothing_was_counted_keeps_the_knots():
    knots = np.array([1.0, 2.0])
    assert histogram_knots(knots, np.zeros(5), np.array([np.inf, -np.inf]), QUANTILES) is knots


def test_a_histogram_on_the_knots_keeps_discrete_values():
    counts = np.array([0.0, 60.0, 0.0, 30.0, 0.0, 10.0, 0.0])
    found = histogram_knots(np.array([0.0, 1.0, 2.0]), counts, np.array([0.0, 2.0]), QUANTILES)
    assert found.tolist() == [0.0, 1.0, 2.0]


def test_a_histogram_finds_the_quantiles_between_knots():
    counts = np.array([0.0, 0.0, 100.0, 0.0, 100.0])
    found = histogram_knots(np.array([0.0, 1.0]), counts, np.array([0.0, 5.0]), (0.25, 0.5, 0.75))
    assert found == pytest.approx([0.5, 1.0, 3.0])


def test_knots_fit_until_a_gap_or_a_tail_holds_too_much():
    knots, tenths = np.array([1.0, 2.0, 3.0]), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    assert fits(np.array([10.0, 30.0, 10.0, 30.0, 10.0, 0.0, 10.0]), knots, tenths)
    assert not fits(np.array([0.0, 0.0, 50.0, 50.0, 0.0, 0.0, 0.0]), knots, tenths)
    assert not fits(np.array([0.0, 50.0, 0.0, 0.0, 0.0, 0.0, 50.0]), knots, tenths)
    assert not fits(np.array([50.0, 50.0, 0.0, 0.0, 0.0, 0.0, 0.0]), knots, tenths)


def test_no_knots_fit_only_while_nothing_was_seen():
    assert fits(np.zeros(3), np.empty(0), QUANTILES)
    assert not fits(np.array([5.0, 0.0, 0.0]), np.empty(0), QUANTILES)
