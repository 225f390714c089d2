"""Tiles: totals over short stretches of time, which can be added up to any window without keeping its events."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from operator import attrgetter

import msgspec

from schemas.records import DAY

MINUTE, HOUR = 60_000, 3_600_000
HOPS = ((HOUR, MINUTE), (12 * HOUR, 5 * MINUTE), (7 * DAY, HOUR))
"""The longest windows that each tile length serves. Longer ones, and the lifetime, rest on tiles of a day."""

SKETCH = 256
"""Distinct values are counted exactly below this many, and above it by a sketch of relative standard error 6.3 %."""

HASHES = 1 << 48
"""How many values the numbers that tell values apart can take."""

KNOWN_FRAUDS = 1_000
"""How many event ids a tile remembers as fraud, so that a label said twice counts once."""


def hop(window: int | None) -> int:
    """Return the length of the tiles that a window is made of; milliseconds.

    >>> hop(7 * DAY) == HOUR, hop(None) == DAY
    (True, True)
    """
    lengths = (tile for longest, tile in HOPS if window is not None and window <= longest)
    return next(lengths, DAY)


class Partial(msgspec.Struct, array_like=True):
    """The aggregates of some values, that more values and other partials can be added to.

    `squares` are exact; `before` is the newest time before `last_at`. `kinds` are the smallest numbers that tell the
    values apart, at most SKETCH of them (a k-minimum-values sketch).
    """

    count: int = 0
    total: int = 0
    squares: int = 0
    low: int = 0
    high: int = 0
    first_at: int = 0
    first: int = 0
    last_at: int = 0
    last: int = 0
    before: int | None = None
    kinds: list[int] = []

    def update(self, time: int, value: int, kind: int | None) -> None:
        """Take in one value, of equal times after those that came earlier; `kind` tells it apart where that matters."""
        if not self.count:
            self.low = self.high = self.first = self.last = value
            self.first_at = self.last_at = time
        elif time >= self.last_at:
            if time > self.last_at:
                self.before = self.last_at
            self.last_at, self.last = time, value
        else:
            self._update_earlier(time, value)
        self.count += 1
        self.total += value
        self.squares += value * value
        if value < self.low:
            self.low = value
        elif value > self.high:
            self.high = value
        if kind is not None:
            self._tell_apart(kind)

    def _update_earlier(self, time: int, value: int) -> None:
        if self.before is None or time > self.before:
            self.before = time
        if time < self.first_at:
            self.first_at, self.first = time, value

    def _tell_apart(self, kind: int) -> None:
        kinds = self.kinds
        if len(kinds) == SKETCH and kind > kinds[-1]:
            return
        at = bisect_left(kinds, kind)
        if at == len(kinds) or kinds[at] != kind:
            kinds.insert(at, kind)
            del kinds[SKETCH:]

    def merge(self, later: "Partial") -> "Partial":
        """Return the aggregates of both; of equal times, the other's values count as later."""
        if not (self.count and later.count):
            return later if later.count else self
        first, last = (
            (later if later.first_at < self.first_at else self),
            (later if later.last_at >= self.last_at else self),
        )
        return Partial(
            self.count + later.count,
            self.total + later.total,
            self.squares + later.squares,
            min(self.low, later.low),
            max(self.high, later.high),
            first.first_at,
            first.first,
            last.last_at,
            last.last,
            _second_newest(self, later),
            sorted({*self.kinds, *later.kinds})[:SKETCH],
        )


def _second_newest(one: Partial, other: Partial) -> int | None:
    times = {one.last_at, other.last_at, one.before, other.before} - {None}
    earlier = [time for time in times if time is not None and time < max(one.last_at, other.last_at)]
    return max(earlier, default=None)


def distinct(partials: Iterable[Partial]) -> int:
    """Return how many distinct values there are: exactly below SKETCH, else estimated to 6.3 % (standard error)."""
    kinds = sorted({kind for partial in partials for kind in partial.kinds})[:SKETCH]
    return len(kinds) if len(kinds) < SKETCH else round((SKETCH - 1) * HASHES / (kinds[-1] + 1))


class Tile(msgspec.Struct, array_like=True):
    """The events of one stretch (index · hop, (index + 1) · hop]: per unit, one partial for each thing aggregated.

    `known` counts the events known as fraud, and `frauds` are the newest of their ids.
    """

    index: int
    parts: dict[str, list[Partial]] = {}
    known: int = 0
    frauds: list[str] = []

    def label(self, event_id: str, fraud: bool) -> bool:
        """Set whether an event of this tile was fraud; return whether that is news."""
        if (event_id in self.frauds) == fraud:
            return False
        if fraud:
            self.frauds.append(event_id)
            del self.frauds[:-KNOWN_FRAUDS]
        else:
            self.frauds.remove(event_id)
        self.known += 1 if fraud else -1
        return True

    def merge(self, later: "Tile") -> "Tile":
        """Return a tile of the events of both, at the other's place."""
        parts = dict(self.parts)
        for unit, others in later.parts.items():
            mine = parts.get(unit)
            parts[unit] = others if mine is None else [a.merge(b) for a, b in zip(mine, others, strict=True)]
        frauds = [*self.frauds, *later.frauds][-KNOWN_FRAUDS:]
        return Tile(later.index, parts, self.known + later.known, frauds)


_index = attrgetter("index")


class Ladder(msgspec.Struct, array_like=True):
    """One key's tiles of one length, oldest first, those without events left out; `base` holds what is older.

    An index below `edge` is older than any window of this ladder; its events live on in the base, if there is one.
    """

    tiles: list[Tile] = []
    base: Tile | None = None

    def find(self, index: int, edge: int) -> Tile | None:
        """Return the tile that holds the events of an index, None when there is none."""
        at = bisect_left(self.tiles, index, key=_index)
        if at < len(self.tiles) and self.tiles[at].index == index:
            return self.tiles[at]
        return self.base if index < edge else None

    def reach(self, index: int, edge: int) -> Tile | None:
        """Return the tile for an event of an index, a new one if need be; None where no window looks any more."""
        tile = self.find(index, edge)
        if tile is None and index >= edge:
            tile = Tile(index)
            insort(self.tiles, tile, key=_index)
        return tile

    def forget(self, edge: int) -> None:
        """Let go of the tiles below the edge, into the base if there is one."""
        while self.tiles and self.tiles[0].index < edge:
            oldest = self.tiles.pop(0)
            if self.base is not None:
                self.base = self.base.merge(oldest)
