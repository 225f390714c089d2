"""The demo over a real broker: a worker and a sink, as processes of their own, do the work."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.main import app
from streams.services.supervisor import down, status

pytestmark = pytest.mark.live

EVENTS = 200


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HEADRACE_FOLDER", str(tmp_path))
    yield tmp_path / "demo"
    down(tmp_path / "demo")


def test_every_payment_is_scored_served_and_kept_and_every_request_answered(kafka: str, folder: Path) -> None:
    told = CliRunner().invoke(app, ["demo", "--kafka", "--no-serve", "--json", "--events", str(EVENTS)])
    assert told.exit_code == 0, told.stderr
    result = json.loads(told.stdout)
    assert (result["events"], result["scores"], result["redis_scores"]) == (EVENTS, EVENTS, EVENTS)
    assert result["clickhouse_rows"] >= 3 * EVENTS
    assert result["offers"]["rankings"] == result["offers"]["requests"] > 0
    assert "drained" in (folder / "logs" / "sink.log").read_text()
    assert not any(health.running for health in status(folder).values())
