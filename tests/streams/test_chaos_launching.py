"""Workers that are forked: they can be asked, signalled and waited for as those that are started from nothing."""

import signal
import subprocess
from pathlib import Path

import pytest

from streams.chaos.launching import Launch, from_nothing, prepared

NOBODY = {"HEADRACE_KAFKA": "127.0.0.1:1", "HEADRACE_REDIS": "redis://127.0.0.1:1/0", "HEADRACE_METRICS_PORT": "0"}


@pytest.fixture(params=["from nothing", "forked"])
def launch(request: pytest.FixtureRequest) -> Launch:
    return prepared() if request.param == "forked" else from_nothing


def test_a_worker_that_ends_by_itself_leaves_its_status_and_its_log(launch: Launch, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    child = launch(NOBODY | {"HEADRACE_BATCH": "none"}, log, 0)
    assert child.wait(60) == child.poll() == child.returncode == 1
    assert "batch" in log.read_text()
    child.send_signal(signal.SIGTERM)
    child.kill()


def test_a_worker_that_is_killed_tells_the_signal(launch: Launch, tmp_path: Path) -> None:
    child = launch(NOBODY, tmp_path / "worker.log", 0)
    assert child.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    child.kill()
    assert child.wait(60) == -signal.SIGKILL


def test_a_worker_by_another_clock_is_never_forked(tmp_path: Path) -> None:
    child = prepared()(NOBODY, tmp_path / "worker.log", 60)
    child.kill()
    assert isinstance(child, subprocess.Popen)
    assert child.wait(60) == -signal.SIGKILL
