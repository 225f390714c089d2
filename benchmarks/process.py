"""A contestant's process: started in its own group, held still, and always ended."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STOP_SECONDS = 20.0


class Process:
    """A running command whose whole process group can be paused.

    Everything it starts belongs to the group, unless that leaves it on purpose.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """End the process without a word."""
        self._process.kill()
        self._process.wait()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the process still for the length of the block."""
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def check_alive(self) -> None:
        """Raise RuntimeError with the end of its log when the process has ended."""
        if self._process.poll() is not None:
            said = self._stderr.read_text(errors="replace")[-2_000:]
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.returncode}: {said}")

    def output(self, timeout: float) -> str:
        """Return what it wrote to standard output, once it has ended by itself with success."""
        if self._process.wait(timeout):
            self.check_alive()
        return self._stdout.read_text()

    def stop(self) -> None:
        """Send SIGTERM, then SIGKILL to the group when that has not ended it in 20 s."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Process]:
    """Start the command with these variables added to the environment; stop it when the block is left."""
    with tempfile.TemporaryDirectory() as folder:
        process = Process(command, environment, Path(folder))
        try:
            yield process
        finally:
            process.stop()
