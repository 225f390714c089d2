"""`headrace bench`: one object for a program, a table for a person, and a plain word where something is missing."""

import json
import sys
from functools import partial

import pytest
from typer.testing import CliRunner, Result

from streams.commands import bench as commands
from streams.main import app


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADRACE_DATA", raising=False)


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bench", *arguments])


def test_every_benchmark_is_a_command_and_part_of_all() -> None:
    told = bench("--help").stdout
    assert all(name in told for name in (*commands.ALL, "all"))


def test_figures_are_one_object() -> None:
    found = json.loads(bench("replay", "--events", "300", "--json").stdout)
    assert set(found) == {"events_per_second", "events_per_core_second", "events", "data"}


def test_figures_are_a_table_for_a_person() -> None:
    told = bench("replay", "--events", "300", "--stages").stdout
    assert "scoring" in told
    assert "0." in told


def test_figures_of_several_are_a_table_with_a_row_each() -> None:
    told = bench("memory", "--events", "1000").stdout
    assert "waiting_payments" in told
    assert "1,000" in told


def test_all_of_them_are_one_object_or_a_table_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "ALL", {"replay": partial(commands.replay, events=300)})
    assert list(json.loads(bench("all", "--json").stdout)["replay"]) == [
        "events_per_second",
        "events_per_core_second",
        "events",
        "data",
    ]
    assert "events_per_core_second" in bench("all").stdout


def test_the_api_is_measured_beside_a_constant_route() -> None:
    found = json.loads(bench("api", "--seconds", "1", "--json").stdout)
    assert set(found) == {"scores", "constant"}
    assert all(
        figures["requests_per_second"] > 0 < figures["p50_ms"] <= figures["p99_ms"] for figures in found.values()
    )


def test_without_a_checkout_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks.replay", None)
    told = bench("replay")
    assert told.exit_code == 1
    assert "run this in a checkout of headrace" in told.stderr


def test_without_a_peer_it_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    monkeypatch.delitem(sys.modules, "benchmarks.batch_baselines", raising=False)
    monkeypatch.delitem(sys.modules, "benchmarks.drift", raising=False)
    told = bench("drift", "--seed", "1")
    assert told.exit_code == 1
    assert "lightgbm is not installed: `uv sync --all-groups`" in told.stderr


def test_baselines_need_the_real_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    for peer in ("lightgbm", "xgboost", "sklearn"):
        pytest.importorskip(peer, reason="the peers are not installed: uv sync --all-groups")
    told = bench("baselines")
    assert told.exit_code == 1
    assert "set HEADRACE_DATA" in told.stderr


def test_an_unknown_contestant_is_refused_with_the_names_there_are() -> None:
    told = bench("throughput", "--only", "flink")
    assert told.exit_code == 1
    assert "no contestant flink: there are headrace, stock_faust, quix, bytewax, bare_loop" in told.stderr


def test_a_contestant_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bytewax", None)
    told = bench("throughput", "--only", "bytewax")
    assert told.exit_code == 1
    assert "bytewax is not installed" in told.stderr


@pytest.mark.parametrize(
    "arguments", [["replay", "--events", "1"], ["throughput", "--events", "10"], ["latency", "--rate", "0"], ["fly"]]
)
def test_what_makes_no_sense_is_a_usage_error(arguments: list[str]) -> None:
    assert bench(*arguments).exit_code == 2
