"""The benchmark of ranking measures rankings by a model, and what was just learned is in the next one."""

import numpy as np
import pytest

from benchmarks import ranking as benchmark
from streams.simulator import World

WORLD = World(customers=60, terminals=60, days=12)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "WORLD", WORLD)
    monkeypatch.setattr(benchmark, "ROUNDS", 5)


def test_every_figure_is_there_and_every_round_of_feedback_taught_a_version() -> None:
    found = benchmark.ranking(requests=100, rounds=0)
    assert found["requests_per_second"] > 0 < found["requests_per_core_second"]
    assert 0 < found["p50_ms"] <= found["p99_ms"]
    assert 0 < found["feedback_in_process_p50_ms"] <= found["feedback_in_process_p99_ms"]
    assert found["ranker_version"] > 5


def test_a_world_too_small_for_a_model_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no ranker was published in 1 days"):
        benchmark.Scene(World(customers=10, terminals=20, days=1))


def test_percentiles_are_named_for_what_they_are_of() -> None:
    assert benchmark.percentiles(np.arange(101.0), "feedback_") == {"feedback_p50_ms": 50.0, "feedback_p99_ms": 99.0}
