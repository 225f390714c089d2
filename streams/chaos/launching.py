"""Processes of workers: begun from nothing, as in earnest, or forked off one that has imported everything already."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from typing import Protocol

from streams.chaos import hand

POLL_SECONDS = 0.05
PRELOADED = ("streams.chaos.hand", "streams.assembly", "streams.collector", "streams.live", "streams.task")


class Child(Protocol):
    """A process that was started, with the part of subprocess.Popen that drills need."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    @property
    def returncode(self) -> int | None:
        """Its exit status as far as it was asked for, a signal below zero; None while it runs."""
        ...

    def poll(self) -> int | None:
        """Ask for the exit status."""
        ...

    def wait(self, timeout: float) -> int:
        """Wait for the exit status. Raises subprocess.TimeoutExpired."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it still runs."""
        ...

    def kill(self) -> None:
        """End it without a word, if it still runs."""
        ...


Launch = Callable[[Mapping[str, str], Path, int], Child]
"""Starts a worker with these variables, which logs to this file, by a clock so many seconds ahead."""


def from_nothing(variables: Mapping[str, str], log: Path, skew_seconds: int) -> Child:
    """Start a worker as an operator does; it takes some seconds to import everything."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "streams.chaos.hand", str(skew_seconds)],
            env=os.environ | dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def prepared() -> Launch:
    """Return what forks workers off a process that has imported everything, and begins with that right away.

    A worker by another clock is started from nothing, since modules take hold of the clock as they are imported.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    forkserver.ensure_running()

    def forked(variables: Mapping[str, str], log: Path, skew_seconds: int) -> Child:
        return from_nothing(variables, log, skew_seconds) if skew_seconds else Forked(context, variables, log)

    return forked


class Forked:
    """A worker that was forked, to be handled as subprocess.Popen is."""

    def __init__(self, context: ForkServerContext, variables: Mapping[str, str], log: Path) -> None:
        self._asking = Lock()
        self._process: ForkServerProcess = context.Process(target=_worked, args=(dict(variables), log))
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """Its exit status, a signal below zero; None while it runs."""
        return self.poll()

    def poll(self) -> int | None:
        """Ask for the exit status, which can be read but once: two threads must not do so together."""
        with self._asking:
            return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the exit status. Raises subprocess.TimeoutExpired."""
        deadline = monotonic() + timeout
        while (status := self.poll()) is None:
            if monotonic() > deadline:
                raise subprocess.TimeoutExpired("a worker", timeout)
            sleep(POLL_SECONDS)
        return status

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)

    def kill(self) -> None:
        """End it without a word, if it still runs."""
        self.send_signal(signal.SIGKILL)


def _worked(variables: Mapping[str, str], log: Path) -> None:
    """Be a worker: nothing of the process that was forked shows in it but what that has imported."""
    os.setsid()
    with log.open("wb") as out, Path(os.devnull).open("rb") as nothing:
        for number, end in enumerate((nothing, out, out)):
            os.dup2(end.fileno(), number)
    os.environ.update(variables)
    hand.run(0.0)
