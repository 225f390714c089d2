"""Drift: whether the mean of a stream of numbers has changed."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import river
from river.drift import ADWIN


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    seen: int
    detections: int
    last: int | None
    river: str
    window: bytes


class Drift:
    """River's ADWIN (Bifet and Gavaldà, Learning from time-changing data with adaptive windowing, 2007), with a memory.

    Every 32 values it looks for a place that parts its window into two of different means; where there is no change it
    finds one with a probability of at most 0.002, for values in an interval of length 1. What it finds empties the
    window, whose memory grows with the logarithm of its length: 2 kB for 50,000 values.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.detections = 0
        self.last: int | None = None
        """How many values had been seen at the last detection."""
        self._window: Any = ADWIN()

    def add(self, value: float) -> bool:
        """Take in a value and return whether a change is found now; `ValueError` unless it is finite."""
        if not math.isfinite(value):
            raise ValueError(f"value must be finite, got {value}")
        self.seen += 1
        self._window.update(value)
        if not self._window.drift_detected:
            return False
        self.detections += 1
        self.last = self.seen
        self._window = ADWIN()
        return True

    def snapshot(self) -> bytes:
        """Return all of the state, from which `restore` goes on bit for bit."""
        window = self._window._helper.__getstate__()
        return msgspec.msgpack.encode(_Snapshot(self.seen, self.detections, self.last, river.__version__, window))

    def restore(self, blob: bytes) -> None:
        """Take over a snapshot. One that another version of River wrote keeps its counts and begins its window anew."""
        kept = msgspec.msgpack.decode(blob, type=_Snapshot)
        self.seen, self.detections, self.last = kept.seen, kept.detections, kept.last
        self._window = ADWIN()
        if kept.river == river.__version__:
            self._window._helper.__setstate__(kept.window)
