"""The crew of a drill: what it makes of how its workers end."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

from streams.chaos.crew import Crew, Member

READY = "ready"
PATIENT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit({status}))
print("{ready}", flush=True)
time.sleep(60)
"""


@contextmanager
def begun(folder: Path, status: object) -> Iterator[tuple[Crew, Member]]:
    """Yield a crew and its worker, which ends with this status once it is told to."""
    script = PATIENT.format(status=status, ready=READY)

    def launch(variables: Mapping[str, str], log: Path, _: int) -> subprocess.Popen[bytes]:
        with log.open("wb") as out:
            return subprocess.Popen([sys.executable, "-c", script], stdout=out, stderr=out)

    with Crew({}, folder, launch) as crew:
        member = crew.start()
        deadline = monotonic() + 60
        while READY not in member.last_words():
            assert monotonic() < deadline
            sleep(0.01)
        yield crew, member


def test_a_worker_that_ends_as_it_was_told_is_not_complained_about(tmp_path: Path) -> None:
    with begun(tmp_path, 0) as (crew, member):
        assert crew.dismiss(member) == []
        crew.replace_ended()
        assert crew.members == [member]


@pytest.mark.parametrize(("status", "told"), [("3", "ended with 3 at SIGTERM"), ("'out of ideas'", "out of ideas")])
def test_a_worker_that_ends_otherwise_is_told_with_the_end_of_its_log(tmp_path: Path, status: str, told: str) -> None:
    with begun(tmp_path, status) as (crew, member):
        (complaint,) = crew.dismiss(member, (0, -signal.SIGTERM))
    assert told in complaint
    assert READY in complaint
