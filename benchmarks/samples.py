"""What a worker holds over time: memory, descriptors, buffered records and lag, looked at while it works."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import numpy as np

from benchmarks.broker import Broker
from benchmarks.site import WAITING, Worker
from schemas.topics import SCORES, TRANSACTIONS

MEGABYTE = 1 << 20
CONFIDENCE = 1.96
HOUR = 3_600.0


class Sample(NamedTuple):
    """One look: seconds since the first, megabytes held, open descriptors, records buffered, payments not scored."""

    at: float
    megabytes: float
    descriptors: int
    buffered: int
    lag: int


class Sampler:
    """Looks at a worker every so many seconds, from entering to leaving. Use as a context manager."""

    def __init__(self, kafka: str, worker: Worker, seconds: float) -> None:
        self.samples: list[Sample] = []
        self._kafka = kafka
        self._worker = worker
        self._seconds = seconds
        self._stopped = Event()
        self._started = time.monotonic()
        self._thread = Thread(target=self._watch, name="sampler", daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        with Broker(self._kafka) as broker:
            while not self._stopped.wait(self._seconds if self.samples else 0):
                lag = broker.count(TRANSACTIONS.name) - broker.count(SCORES.name)
                buffered = round(sum(self._worker.counted(WAITING)))
                pid = self._worker.process.pid
                now = time.monotonic() - self._started
                self.samples.append(Sample(now, megabytes(pid), descriptors(pid), buffered, max(0, lag)))


def megabytes(pid: int) -> float:
    """Return the memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def descriptors(pid: int) -> int:
    """Return how many files and connections a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


class Slope(NamedTuple):
    """Growth an hour, and by how much it may be more or less (95 %)."""

    per_hour: float
    plus_minus: float


def slope(at: Sequence[float], values: Sequence[float]) -> Slope:
    """Return the growth of values seen at so many seconds, by least squares; neighbours are taken as independent.

    >>> slope([0, 3600, 7200], [1.0, 2.0, 3.0])
    Slope(per_hour=1.0, plus_minus=0.0)
    """
    x, y = np.asarray(at, dtype=float) / HOUR, np.asarray(values, dtype=float)
    x, y = x - x.mean(), y - y.mean()
    spread = float(x @ x)
    if len(x) < 3 or not spread:
        return Slope(0.0, float("inf"))
    per_hour = float(x @ y) / spread
    left = y - per_hour * x
    error = float(np.sqrt(left @ left / (len(x) - 2) / spread))
    return Slope(round(per_hour, 3), round(CONFIDENCE * error, 3))
