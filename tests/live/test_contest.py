"""`headrace bench throughput` on a real broker: the live engine does the reference work, and every result is right."""

import json

import pytest
from typer.testing import CliRunner

from streams.main import app

pytestmark = pytest.mark.live


def test_headrace_runs_beside_the_bare_loop(monkeypatch: pytest.MonkeyPatch, kafka: str) -> None:
    monkeypatch.delenv("HEADRACE_DATA", raising=False)
    names = ["headrace", "bare_loop"]
    only = [word for name in names for word in ("--only", name)]
    told = CliRunner().invoke(app, ["bench", "throughput", *only, "--events", "2000", "--json"])
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert list(found) == names
    assert min(found.values()) > 0
