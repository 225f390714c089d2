"""Tiled windows: features added up from tiles, in memory that does not grow with the event rate.

A window at time t is made of whole tiles. Its tail is rounded down to a tile's edge, so that it is up to one tile
longer than declared. Without a delay its head is exact: the tile of t holds what has come so far. With a delay the head
is rounded down too, to the last tile that ends at or before t − delay: nothing younger is ever seen. At a time before
the key's newest event, whole tiles are seen as they are now, and none that a window at the newest event no longer has.
"""

from collections.abc import Sequence
from typing import NamedTuple

from processors.columns import Fields, millionths, text_number
from processors.definitions import AMOUNT, FRAUD, Feature
from processors.tiled_readers import ReadTiles, tiled_reader
from processors.tiles import Ladder, Partial, Tile, hop
from processors.trail import Trail, Window


class Slot(NamedTuple):
    """A field that each tile has a partial of (None: the events themselves), and whether its values are told apart."""

    field: str | None
    number: bool
    distinct: bool


class Rungs(NamedTuple):
    """The tiles of one length: how far back any window looks, and whether what is older lives on in a base."""

    hop: int
    keep: int
    based: bool


class TiledGroup:
    """The features of one entity that look at the same events: one ladder of tiles for each length of tile.

    A label is taken to be about an event of this key that was taken in, since tiles don't remember which were.
    """

    fraud_column = None

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)
        self.where = features[0].where
        self.per_unit = any(feature.of == AMOUNT for feature in features)
        self.slots = tuple(_slot(field, features) for field in dict.fromkeys(_field(feature) for feature in features))
        self.rungs = tuple(_rungs(length, features) for length in dict.fromkeys(hop(f.window) for f in features))
        windows = dict.fromkeys((hop(f.window), Window.of(f.delay, f.window)) for f in features)
        self.windows = tuple(windows)
        self._labelled = any(feature.of == FRAUD for feature in features)
        self._ladder = {rungs.hop: at for at, rungs in enumerate(self.rungs)}

    def new(self) -> Trail:
        """Return the trail of a key never seen."""
        return Trail(spans=[], ladders=[Ladder(base=Tile(-1) if rungs.based else None) for rungs in self.rungs])

    def take(self, trail: Trail, time: int, event_id: str, unit: str, fields: Fields) -> None:
        """Add an event to its tiles, unless it lacks the field that the group is about."""
        self.advance(trail, time)
        taken = [_taken(slot, fields) for slot in self.slots]
        if None in taken:
            return
        for rungs, ladder in zip(self.rungs, trail.ladders, strict=True):
            edge = (trail.watched - rungs.keep) // rungs.hop
            ladder.forget(edge)
            tile = ladder.reach((time - 1) // rungs.hop, edge)
            if tile is None:
                continue
            partials = tile.parts.setdefault(unit if self.per_unit else "", [])
            if not partials:
                partials.extend(Partial() for _ in self.slots)
            for partial, value in zip(partials, taken, strict=True):
                if value is not None:
                    partial.update(time, *value)

    def advance(self, trail: Trail, time: int) -> None:
        """Move the windows on to the time of an event."""
        trail.watched = max(trail.watched, time)

    def correct(self, trail: Trail, time: int, event_id: str, fraud: int) -> bool:
        """Set whether an event was fraud in the tiles it is in; return whether that is news."""
        if not self._labelled:
            return False
        changed = False
        for rungs, ladder in zip(self.rungs, trail.ladders, strict=True):
            tile = ladder.find((time - 1) // rungs.hop, (trail.watched - rungs.keep) // rungs.hop)
            if tile is not None and tile.parts:
                changed |= tile.label(event_id, bool(fraud))
        return changed

    def views(self, trail: Trail, time: int) -> list[list[Tile]]:
        """Return the tiles of each window at `time`, oldest first."""
        return [
            _visible(trail.ladders[self._ladder[length]], length, window, time, trail.watched)
            for length, window in self.windows
        ]

    def reader(self, feature: Feature) -> tuple[int, ReadTiles]:
        """Return which view a feature is read off, and how."""
        slot = next(at for at, slot in enumerate(self.slots) if slot.field == _field(feature))
        view = self.windows.index((hop(feature.window), Window.of(feature.delay, feature.window)))
        return view, tiled_reader(feature, slot)


def _field(feature: Feature) -> str | None:
    return None if feature.of == FRAUD else feature.of


def _slot(field: str | None, features: Sequence[Feature]) -> Slot:
    aggregates = {feature.aggregate for feature in features if _field(feature) == field}
    number = field is not None and not aggregates <= {"count", "since_last", "distinct"}
    return Slot(field, number, "distinct" in aggregates)


def _rungs(length: int, features: Sequence[Feature]) -> Rungs:
    windows = [Window.of(feature.delay, feature.window) for feature in features if hop(feature.window) == length]
    keep = max(window.delay if window.reach is None else window.reach for window in windows)
    return Rungs(length, keep, any(window.reach is None for window in windows))


def _taken(slot: Slot, fields: Fields) -> tuple[int, int | None] | None:
    """Return the whole number and the number that tells it apart; None for an event that lacks the field."""
    value = 0 if slot.field is None else fields.get(slot.field, 0 if slot.field == AMOUNT else None)
    if value is None:
        return None
    kind = text_number(str(value)) if slot.distinct else None
    if slot.field in (None, AMOUNT):
        return value, kind
    number = millionths(value) if slot.number else 0
    return None if number is None else (number, kind)


def _visible(ladder: Ladder, length: int, window: Window, time: int, watched: int) -> list[Tile]:
    last = (time - 1) // length if not window.delay else (time - window.delay) // length - 1
    if window.reach is None:
        last = max(last, (watched - window.delay) // length - 1)
        base = [] if ladder.base is None else [ladder.base]
        return base + [tile for tile in ladder.tiles if tile.index <= last]
    first = (max(time, watched) - window.reach) // length
    return [tile for tile in ladder.tiles if first <= tile.index <= last]
