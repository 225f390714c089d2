"""The API and the demo, as the processes that people start and end."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.services.ports import accepts_connections
from streams.services.supervisor import down, status

pytestmark = pytest.mark.live

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Start]:
    environment = os.environ | {"HEADRACE_REDIS": redis_url, "HEADRACE_FOLDER": str(tmp_path), "HEADRACE_PORT": "0"}
    started: list[subprocess.Popen[str]] = []
    # Whoever runs the tests in the background may ignore SIGINT, and so would all that they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", "-m", "streams", *arguments]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.terminate()
        process.communicate(timeout=30)
    down(tmp_path / "demo")
    signal.signal(signal.SIGINT, before)


def read(url: str) -> bytes:
    """Return what an address answers, as soon as somebody listens there."""
    host, port = url.split("/")[2].split(":")
    deadline = time.monotonic() + 30
    while not accepts_connections(int(port)):
        assert time.monotonic() < deadline, f"nobody listens at {host}:{port}"
        time.sleep(0.05)
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


def ended(process: subprocess.Popen[str], by: signal.Signals) -> int:
    process.send_signal(by)
    process.communicate(timeout=30)
    return process.returncode


def test_the_api_tells_its_address_answers_and_ends_with_0_at_sigterm(start: Start) -> None:
    api = start("api", "--port", "0", "--json")
    assert api.stdout is not None
    address = json.loads(api.stdout.readline())["api"]
    assert json.loads(read(f"{address}/livez"))["status"] == "alive"
    assert json.loads(read(f"{address}/readyz"))["status"] == "ready"
    assert ended(api, signal.SIGTERM) == 0


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_serves_its_results_until_it_is_told_to_end(start: Start, tmp_path: Path, by: signal.Signals) -> None:
    demo = start("demo", "--events", "60", "--seed", "3")
    assert demo.stdout is not None
    link = next(line.split()[-1] for line in demo.stdout if "curl" in line)
    event_id = link.rpartition("/")[2]
    assert json.loads(read(link))["score"]["event_id"] == event_id
    assert sum(health.ready for health in status(tmp_path / "demo").values()) == 2
    assert ended(demo, by) == 0
    assert not any(health.running for health in status(tmp_path / "demo").values())


def test_a_demo_that_is_interrupted_in_its_run_ends_its_services(start: Start, tmp_path: Path) -> None:
    demo = start("demo", "--events", "1000000", "--no-serve")
    deadline = time.monotonic() + 30
    while sum(health.ready for health in status(tmp_path / "demo").values()) < 2:
        assert time.monotonic() < deadline, "the services do not come up"
        time.sleep(0.1)
    assert ended(demo, signal.SIGINT) == 130
    assert not any(health.running for health in status(tmp_path / "demo").values())
