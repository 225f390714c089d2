"""Logs that do not fill a disk: what is said over and over is told now and then, with how often it was said."""

import logging
from collections.abc import Callable
from math import inf
from time import monotonic


class Seldom(logging.Filter):
    """Lets each message of a logger pass once in so many `seconds`, whatever its arguments."""

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._told: dict[object, float] = {}
        self._missed: dict[object, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message passes; one that does tells how many were kept back before it."""
        what, now = record.msg, self._clock()
        if now < self._told.get(what, -inf) + self._seconds:
            self._missed[what] = self._missed.get(what, 0) + 1
            return False
        self._told[what] = now
        if missed := self._missed.pop(what, 0):
            record.msg = f"{what} ({missed} more since)"
        return True
