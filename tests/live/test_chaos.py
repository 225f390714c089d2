"""`headrace chaos run`, short: what it tells, what it keeps, and that the promises hold under a few of its faults."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streams.chaos.scenarios import SCENARIOS
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


@pytest.mark.live
def test_promises_hold_and_what_is_done_is_not_done_again(kafka: str, folder: Path) -> None:
    names = ["kill-worker", "poison"]
    told = run(*names, "--events", EVENTS, "--json")
    rows = json.loads(told.stdout)
    assert told.exit_code == 0, rows
    assert [row["scenario"] for row in rows] == names
    for row in rows:
        assert tuple(row)[: len(FIELDS)] == FIELDS
        assert (row["seeds"], row["lost"], row["doubled"], row["state_mismatch"], row["ok"]) == (1, 0, 0, 0, True)
        assert 0 < row["recovery_s_p50"] <= row["recovery_s_max"]
    assert not any((folder / "logs").iterdir())
    again = run(*names, "--events", EVENTS, "--resume")
    assert again.exit_code == 0
    assert again.stdout.count(" ok ") == len(names)


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
