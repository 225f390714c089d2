"""The benchmark of recommendations measures nothing but recommendations."""

import pytest

from benchmarks import recommendations as benchmark


def test_figures_come_by_the_size_of_the_catalogue() -> None:
    found = benchmark.recommendations(sizes=(20, 40), events=20)
    assert list(found) == ["20 items", "40 items"]
    for figures in found.values():
        assert figures["recommendations_per_second"] > 0 < figures["recommendations_per_core_second"]
        assert 0 < figures["p50_ms"] <= figures["p99_ms"]


def test_an_event_that_brings_no_recommendations_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "CUSTOMERS", 1)
    monkeypatch.setattr(benchmark, "MINUTE", 1)
    with pytest.raises(RuntimeError, match="brought no recommendations"):
        benchmark.Shop(30).recommend(30)
