"""The services command tells people and programs the same."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streams.commands.services import commands
from streams.services.supervisor import Part, down, status

pytestmark = pytest.mark.live


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    down(tmp_path)


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(commands, [*arguments, "--folder", str(folder)])


def test_up_tells_programs_the_addresses_and_people_what_to_export(folder: Path) -> None:
    told = run(folder, "up", "redis", "--json")
    address = json.loads(told.stdout)["redis"]
    assert address.startswith("redis://127.0.0.1:")
    assert f"export HEADRACE_REDIS={address}" in run(folder, "up", "redis").stdout


def test_status_tells_what_answers(folder: Path) -> None:
    assert "down" in run(folder, "status").stdout
    run(folder, "up", "redis")
    told = json.loads(run(folder, "status", "--json").stdout)
    assert (told["redis"]["ready"], told["kafka"]["running"]) == (True, False)
    assert told["redis"]["pid"] == status(folder)[Part.REDIS].pid
    assert "answers" in run(folder, "status").stdout


def test_down_tells_what_it_ended(folder: Path) -> None:
    assert run(folder, "down").stdout == "nothing ran\n"
    run(folder, "up", "redis")
    assert json.loads(run(folder, "down", "--json").stdout) == {"ended": ["redis"]}
    run(folder, "up", "redis")
    assert run(folder, "down").stdout == "ended redis\n"


def test_a_missing_java_is_named_with_the_way_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    told = run(folder, "up", "kafka")
    assert told.exit_code == 1
    assert "Java 17 or newer (`java`) is missing" in told.stderr
    assert "docker compose up" in told.stderr
