"""A change is found soon, a steady stream is left alone, and a restored detector goes on bit for bit."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.drift import ADWIN

from online_models.drift import Drift


def labels(*parts: tuple[float, int], seed: int = 1) -> list[float]:
    """Return a stream of zeros and ones: each part has its rate of ones and its length."""
    random = np.random.default_rng(seed)
    return [float(each) for rate, length in parts for each in random.random(length) < rate]


def found(drift: Drift, values: list[float]) -> list[int]:
    """Return how many of the values had been seen at each detection."""
    return [n for n, value in enumerate(values, 1) if drift.add(value)]


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.2])
def test_a_steady_stream_has_no_drift(rate: float) -> None:
    drift = Drift()
    assert found(drift, labels((rate, 20_000))) == []
    assert (drift.detections, drift.last) == (0, None)


@pytest.mark.parametrize(("before", "after"), [(0.05, 0.15), (0.15, 0.05), (0.4, 0.6)])
def test_a_change_is_found_within_a_thousand_values_and_remembered(before: float, after: float) -> None:
    drift = Drift()
    (moment,) = found(drift, labels((before, 5_000), (after, 5_000)))
    assert 5_000 < moment < 6_000
    assert (drift.detections, drift.last, drift.seen) == (1, moment, 10_000)


def test_each_of_several_changes_is_found() -> None:
    drift = Drift()
    moments = found(drift, labels((0.1, 4_000), (0.5, 4_000), (0.1, 4_000)))
    assert [moment // 4_000 for moment in moments] == [1, 2]
    assert drift.detections == 2


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 400)), min_size=1, max_size=6), st.integers(0, 100))
def test_it_finds_what_rivers_own_detector_finds(parts: list[tuple[float, int]], seed: int) -> None:
    values, river = labels(*parts, seed=seed), ADWIN()
    expected = [n for n, value in enumerate(values, 1) if (river.update(value), river.drift_detected)[1]]
    assert found(Drift(), values) == expected


@given(st.lists(st.floats(-1, 1), max_size=300), st.integers(0, 300))
def test_a_restored_detector_goes_on_bit_for_bit(values: list[float], cut: int) -> None:
    straight, restored = Drift(), Drift()
    restored.add(0.5)
    expected = [straight.add(value) for value in values]
    first = Drift()
    said = [first.add(value) for value in values[:cut]]
    restored.restore(first.snapshot())
    assert said + [restored.add(value) for value in values[cut:]] == expected
    assert restored.snapshot() == straight.snapshot()


@pytest.mark.parametrize("more", [0, 1, 31])
def test_a_detector_that_is_restored_just_after_a_change_goes_on_too(more: int) -> None:
    values, straight, restored = labels((0.1, 2_000), (0.9, 4_000)), Drift(), Drift()
    moment = found(straight, values)[0] + more
    first = Drift()
    found(first, values[:moment])
    restored.restore(first.snapshot())
    found(restored, values[moment:])
    assert restored.snapshot() == straight.snapshot()


def test_a_snapshot_by_another_river_keeps_its_counts_and_begins_a_window() -> None:
    drift, restored = Drift(), Drift()
    found(drift, labels((0.1, 2_000), (0.9, 500)))
    seen, detections, last, _, _ = msgspec.msgpack.decode(drift.snapshot())
    restored.restore(msgspec.msgpack.encode((seen, detections, last, "0.1.0", b"of another layout")))
    assert (restored.seen, restored.detections, restored.last) == (2_500, 1, drift.last)
    assert found(restored, labels((0.9, 500))) == []


def test_a_snapshot_stays_small() -> None:
    drift = Drift()
    found(drift, labels((0.3, 50_000)))
    assert len(drift.snapshot()) < 4_000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="value must be finite"):
        Drift().add(value)
