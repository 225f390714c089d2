"""When a worker ends itself: nothing is lost by it, since the checkpoint has all that was done."""

import os
from collections.abc import Callable, Mapping
from time import time
from typing import Any

import structlog
from faust.types import TP

from streams.inflow import Inflow
from streams.lane import Lane

log = structlog.get_logger()

POISONED = 65
STALLED = 70
BROKEN = 71
KILLED = 137

Ending = Callable[[int], None]
"""How a process ends, with the status given."""

BREAKER_WINDOW = 1_000
BREAKER_SHARE = 0.95


def end(code: int) -> None:
    """End the process at once: nothing is flushed, nothing acknowledged, the checkpoint stands."""
    os._exit(code)


class Breaker:
    """Ends the process when of a thousand records nearly all are bad: then it is the code, or a whole upstream."""

    def __init__(self, ending: Ending = end) -> None:
        self._records = self._bad = 0
        self._end = ending

    def count(self, records: int, bad: int) -> None:
        """Count what was read, and how much of it was bad."""
        self._records, self._bad = self._records + records, self._bad + bad
        if self._records < BREAKER_WINDOW:
            return
        if self._bad >= BREAKER_SHARE * self._records:
            log.critical("nearly everything is bad", records=self._records, bad=self._bad)
            self._end(POISONED)
        self._records = self._bad = 0


class Watchdog:
    """Tells a worker that has stalled from one that has nothing to do.

    Faust can stall in silence: its fetcher, or a rebalance, ends and nothing says so. `stalled_after` is in
    milliseconds.
    """

    def __init__(
        self, lanes: Mapping[tuple[str, int], Lane], inflow: Inflow, stalled_after: int, ending: Ending = end
    ) -> None:
        self._lanes = lanes
        self._inflow = inflow
        self._patience = stalled_after / 1000
        self._end = ending
        self._unassigned_since: float | None = time()

    def expect_assignment(self) -> None:
        """Note that partitions are to come, from now on."""
        self._unassigned_since = time()

    def settle(self) -> None:
        """Note that all partitions that were assigned are at work, be it none."""
        self._unassigned_since = None

    def stalled(self) -> str | None:
        """Return the name of a lane that has had work and has done none of it for too long, or "assignment" when no
        partitions came. Changes nothing: other threads ask too."""
        limit = time() - self._patience
        if self._unassigned_since is not None and self._unassigned_since < limit:
            return "assignment"
        idle = [lane for lane in list(self._lanes.values()) if lane.last_progress < limit]
        return next((lane.name for lane in idle if self._has_work(lane)), None)

    def watch(self) -> None:
        """End the process when it has stalled. To be called often: what has had no work starts anew."""
        if (name := self.stalled()) is not None:
            log.critical("stalled", at=name, seconds=self._patience, **self.described(name))
            self._end(STALLED)
        for lane in self._lanes.values():
            if not self._has_work(lane):
                lane.last_progress = time()

    def described(self, name: str) -> dict[str, Any]:
        """Return what a lane waits for, for whoever has to find out why it stalled."""
        lane = next((lane for lane in self._lanes.values() if lane.name == name), None)
        if lane is None:
            return {}
        inputs = _inputs(lane)
        return {
            "waiting": {tp.topic: lane.inputs.size(tp.topic) for tp in inputs},
            "read": {tp.topic: self._inflow.read(lane.name, tp) for tp in inputs},
            "log_end": {tp.topic: self._inflow.end(tp) for tp in inputs},
            "held_back": sorted(tp.topic for tp in self._inflow.held() if tp in inputs),
            "counts": lane.counts,
        }

    def _has_work(self, lane: Lane) -> bool:
        return bool(len(lane.inputs)) or any(self._inflow.behind(lane.name, tp) for tp in _inputs(lane))


def _inputs(lane: Lane) -> list[TP]:
    return [TP(topic.name, lane.partition) for topic in lane.processor.inputs]


def failpoint(named: str, ending: Ending = end) -> Callable[[str], None]:
    """Return what dies, without a word, when the protocol reaches a step; for fault tests.

    "committed" dies at the first such step of the process, "committed@7" at the seventh; "" never.
    """
    name, _, number = named.partition("@")
    left = [int(number or 1)]

    def reached(step: str) -> None:
        if step == name:
            left[0] -= 1
            if not left[0]:
                ending(KILLED)

    return reached
