"""A trail: what one key remembers for its windows, event by event with running totals over each window, or in tiles."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple, Self

import msgspec

from processors.tiles import Ladder

CAP = 20_000
"""Most events one trail keeps. A key hotter than that loses its oldest events first and counts them as dropped."""

CHUNK = 16
"""Events leave a trail in groups of at least this many, since each cut moves all that stay."""


class Window(NamedTuple):
    """The span (t − reach, t − delay] that a feature looks at from time t; milliseconds. No reach: the lifetime."""

    delay: int
    reach: int | None

    @classmethod
    def of(cls, delay: int, length: int | None) -> Self:
        """Return the window of a length (None: the lifetime) behind a delay."""
        return cls(delay, None if length is None else delay + length)


Windows = Sequence[Window]
Row = tuple[int, ...]
"""What is kept of an event: one whole number per column."""

Totals = dict[str, list[int]]
"""Per unit: the number of events, then the sum of each column."""


class Span(msgspec.Struct, array_like=True, gc=False):
    """The events lo..hi of a trail that lie in one window now, and their totals."""

    lo: int = 0
    hi: int = 0
    totals: Totals = {}


class Trail(msgspec.Struct, array_like=True, gc=False):
    """One key's recent events in event-time order, ties in order of arrival, with a span per window.

    `rows` hold whole numbers (minor units, millionths, 0/1 flags), so totals are exact whatever entered and left.
    `watched` is the newest event time seen, `late` counts the events that came too late to be taken in, `dropped`
    those that fell to the cap. `ids` are kept only where labels look for them, and `units` only once there are events
    of more than one: until then all are of `unit`. A trail of tiled windows keeps `ladders` of tiles instead of events.
    """

    spans: list[Span]
    times: list[int] = []
    ids: list[str] = []
    units: list[str] = []
    rows: list[Row] = []
    watched: int = -1
    late: int = 0
    dropped: int = 0
    ladders: list[Ladder] = []
    unit: str = ""

    def unit_of(self, at: int) -> str:
        """Return the unit of the event at a position."""
        return self.units[at] if self.units else self.unit

    def add(self, windows: Windows, time: int, event_id: str | None, unit: str, row: Row) -> None:
        """Take in an event; one newer than all before it moves every span to its time. Without an id none is found."""
        if time >= self.watched:
            if self.units or unit != self.unit:
                self._keep_unit(len(self.times), unit)
            self.times.append(time)
            if event_id is not None:
                self.ids.append(event_id)
            self.rows.append(row)
            self.advance(windows, time)
        else:
            self._insert(windows, time, event_id, unit, row)

    def advance(self, windows: Windows, time: int) -> None:
        """Move every span on to `time`, which is not before `watched`."""
        self.watched = time
        times, units, rows, only = self.times, self.units, self.rows, self.unit
        size = len(times)
        # Both loops are `_fold`, written out: an event enters and leaves every window, one or two at a time.
        for (delay, reach), span in zip(windows, self.spans, strict=True):
            totals, hi, end = span.totals, span.hi, time - delay
            while hi < size and times[hi] <= end:
                row, unit = rows[hi], units[hi] if units else only
                total = totals.get(unit)
                if total is None:
                    total = totals[unit] = [0] * (len(row) + 1)
                total[0] += 1
                column = 1
                for value in row:
                    total[column] += value
                    column += 1
                hi += 1
            span.hi = hi
            if reach is None:
                continue
            lo, start = span.lo, time - reach
            while lo < hi and times[lo] <= start:
                total = totals[units[lo] if units else only]
                total[0] -= 1
                column = 1
                for value in rows[lo]:
                    total[column] -= value
                    column += 1
                lo += 1
            span.lo = lo

    def _fold(self, totals: Totals, start: int, stop: int, sign: int) -> None:
        for at in range(start, stop):
            row, unit = self.rows[at], self.unit_of(at)
            total = totals.get(unit)
            if total is None:
                total = totals[unit] = [0] * (len(row) + 1)
            total[0] += sign
            for column, value in enumerate(row, 1):
                total[column] += sign * value

    def _keep_unit(self, at: int, unit: str) -> None:
        """Keep the unit of an event that is about to be put in at a position."""
        if not self.times:
            self.unit = unit
        elif self.units or unit != self.unit:
            if not self.units:
                self.units = [self.unit] * len(self.times)
            self.units.insert(at, unit)

    def _insert(self, windows: Windows, time: int, event_id: str | None, unit: str, row: Row) -> None:
        at = bisect_right(self.times, time)
        self._keep_unit(at, unit)
        self.times.insert(at, time)
        if event_id is not None:
            self.ids.insert(at, event_id)
        self.rows.insert(at, row)
        for index, (delay, reach) in enumerate(windows):
            span = self.spans[index]
            if time > self.watched - delay:
                continue
            span.hi += 1
            if reach is not None and time <= self.watched - reach:
                span.lo += 1
            else:
                self._fold(span.totals, at, at + 1, 1)

    def find(self, time: int, event_id: str) -> int | None:
        """Return the position of an event, or None when it is no longer (or was never) here."""
        for at in range(bisect_left(self.times, time), bisect_right(self.times, time)):
            if self.ids[at] == event_id:
                return at
        return None

    def correct(self, at: int, column: int, value: int) -> None:
        """Set one number of the event at a position, in every total that it is part of."""
        row = self.rows[at]
        change = value - row[column]
        self.rows[at] = (*row[:column], value, *row[column + 1 :])
        for span in self.spans:
            if span.lo <= at < span.hi:
                span.totals[self.unit_of(at)][column + 1] += change

    def as_of(self, windows: Windows, time: int) -> list[Span]:
        """Return the spans as they lie at another time than `watched`. Changes nothing."""
        return [self._as_of(window, span, time) for window, span in zip(windows, self.spans, strict=True)]

    def _as_of(self, window: Window, span: Span, time: int) -> Span:
        hi = bisect_right(self.times, time - window.delay)
        if window.reach is not None:
            past = Span(bisect_right(self.times, time - window.reach), hi, {})
            self._fold(past.totals, past.lo, hi, 1)
            return past
        lifetime = Span(0, hi, {unit: list(total) for unit, total in span.totals.items()})
        self._fold(lifetime.totals, hi, span.hi, -1)
        self._fold(lifetime.totals, span.hi, hi, 1)
        return lifetime

    def forget(self, windows: Windows, keep: int | None) -> None:
        """Let go of events `keep` milliseconds old or older (None: of none), and of the oldest beyond the cap."""
        times = self.times
        if keep is not None and len(times) > CHUNK and times[CHUNK] <= self.watched - keep:
            self._cut(windows, bisect_right(times, self.watched - keep))
        if len(times) > CAP:
            surplus = len(times) - CAP + CAP // 100
            self.dropped += surplus
            self._cut(windows, surplus)

    def _cut(self, windows: Windows, count: int) -> None:
        for window, span in zip(windows, self.spans, strict=True):
            if window.reach is not None:
                self._fold(span.totals, span.lo, min(span.hi, count), -1)
            span.lo = max(0, span.lo - count)
            span.hi = max(0, span.hi - count)
        del self.times[:count], self.ids[:count], self.units[:count], self.rows[:count]
