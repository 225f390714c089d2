"""`headrace chaos run`: what it tells, what it keeps, and that every promise holds under every fault, in short."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from streams.chaos.scenarios import SCENARIOS
from streams.commands.chaos import chosen
from streams.main import app

EVENTS = "400"
FIELDS = ("scenario", "seeds", "lost", "doubled", "state_mismatch", "fenced", "recovery_s_p50", "recovery_s_max", "ok")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_FOLDER", str(tmp_path))
    return tmp_path / "chaos"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["chaos", "run", *arguments])


def test_an_unknown_scenario_is_refused_with_the_known_ones(folder: Path) -> None:
    told = run("kill-worker", "meteorite")
    assert told.exit_code == 1
    assert "there is no scenario meteorite" in told.stderr
    assert all(name in told.stderr for name in SCENARIOS)


def test_the_scenarios_are_listed() -> None:
    told = CliRunner().invoke(app, ["chaos", "list"])
    assert all(name in told.stdout for name in SCENARIOS)


@pytest.fixture(scope="module")
def short(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, Any]]]:
    """Every scenario once, in its short form; and what that has told, by scenario."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_FOLDER", str(tmp_path_factory.mktemp("short")))
        rows = json.loads(run("--short", "--json").stdout)
        yield {row["scenario"]: row for row in rows}


@pytest.mark.live
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_promise_holds_under(scenario: str, short: dict[str, dict[str, Any]]) -> None:
    row = short[scenario]
    assert tuple(row)[: len(FIELDS)] == FIELDS
    assert row["ok"], row["broken"]
    assert (row["seeds"], row["lost"], row["doubled"], row["state_mismatch"]) == (1, 0, 0, 0)
    assert 0 < row["recovery_s_p50"] <= row["recovery_s_max"]


@pytest.mark.live
def test_what_is_done_is_not_done_again(short: dict[str, dict[str, Any]]) -> None:
    results = Path(os.environ["HEADRACE_FOLDER"]) / "chaos-short" / "results.jsonl"
    before = results.read_bytes()
    again = run("--short", "--resume")
    assert again.exit_code == 0
    assert again.stdout.count(" ok ") == len(SCENARIOS)
    assert results.read_bytes() == before


@pytest.mark.live
def test_drills_as_in_earnest_keep_their_results_apart(kafka: str, folder: Path) -> None:
    told = run("terminate", "--events", EVENTS, "--json")
    assert told.exit_code == 0, told.stdout
    assert len((folder / "results.jsonl").read_text().splitlines()) == 1
    assert not any((folder / "logs").iterdir())
    assert not folder.with_name("chaos-short").exists()


def test_scenarios_can_be_left_out(folder: Path) -> None:
    assert [each.name for each in chosen(["zombie", "soak"], without=["soak"])] == ["zombie"]
    assert "soak" not in [each.name for each in chosen([], without=["soak"])]
    told = run("soak", "--without", "soak")
    assert told.exit_code == 1
    assert "no scenario is left without soak" in told.stderr


def test_what_failed_is_told_with_the_way_to_its_logs(folder: Path) -> None:
    folder.mkdir()
    verdict = {"scenario": "zombie", "seed": 1, "events": 400, "lost": 2, "broken": ["lost: tx-1, tx-2"]}
    (folder / "results.jsonl").write_text(json.dumps({"events": 400, "verdict": verdict}) + "\n")
    told = run("zombie", "--events", EVENTS, "--resume")
    assert told.exit_code == 1
    assert "zombie, seed 1: lost: tx-1, tx-2" in told.stdout
    assert str(folder / "logs") in told.stdout.replace("\n", "")
    rows = json.loads(run("zombie", "--events", EVENTS, "--resume", "--json").stdout)
    assert (rows[0]["lost"], rows[0]["ok"]) == (2, False)
    table = CliRunner().invoke(app, ["chaos", "table"]).stdout
    assert "| `zombie` | 1 | 2 | 0 | 0 | 0 | – | – | **broken** |" in table
