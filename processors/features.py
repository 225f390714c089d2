"""Feature sets: declared features compiled to what is kept of a key's events, and read in one go."""

from collections.abc import Callable, Iterator, Sequence
from math import nan
from typing import Any

from processors.calendar import CALENDAR
from processors.columns import SCALES, Fields, Needed, needed
from processors.definitions import AMOUNT, Feature, Where
from processors.exact_windows import ExactGroup
from processors.tiled_windows import TiledGroup
from processors.trail import Trail
from schemas.records import DAY

LATENESS = 7 * DAY
"""How far behind a key's newest event another may come and still be taken in, unless told otherwise."""


Group = ExactGroup | TiledGroup
"""The features that look at the same events, and what becomes of a trail when one comes."""


class FeatureSet:
    """The declared features of one entity, in order; turns events into values.

    `values` are floats in the order of `names`. State is one Trail per group of features that look at the same events,
    exact ones first. An event older than `lateness` milliseconds behind the key's newest is left out and counted in the
    trails as `late`.
    """

    def __init__(self, features: Sequence[Feature], lateness: int = LATENESS) -> None:
        self.names = tuple(feature.name for feature in features)
        self._lateness = lateness
        self.groups = tuple(_groups([feature for feature in features if feature.windowed], lateness))
        position = {name: at for at, name in enumerate(self.names)}
        self._calendar = [
            (position[feature.name], CALENDAR[feature.calendar]) for feature in features if feature.calendar is not None
        ]
        self._own = [
            (position[feature.name], _own(feature.of or ""))
            for feature in features
            if not feature.windowed and feature.calendar is None
        ]
        self._readers: list[list[tuple[int, int, Callable[[Trail, Any, str, int], float]]]] = [
            [(position[feature.name], *group.reader(feature)) for feature in group.features] for group in self.groups
        ]

    def new(self) -> list[Trail]:
        """Return the state of a key never seen."""
        return [group.new() for group in self.groups]

    def observe(self, state: list[Trail], time: int, event_id: str, unit: str, fields: Fields) -> bool:
        """Take one event into the state; return whether it came in time. Windows move on to the newest event's time."""
        if state and time < state[0].watched - self._lateness:
            for trail in state:
                trail.late += 1
            return False
        for at, group in enumerate(self.groups):
            if group.where is None or group.where.holds(_asked(group.where, unit, fields)):
                group.take(state[at], time, event_id, unit, fields)
            else:
                group.advance(state[at], time)
        return True

    def values(self, state: list[Trail], time: int, unit: str, fields: Fields) -> list[float]:
        """Return every feature at `time`, with the events taken in so far. Changes nothing.

        Features of the event itself are read off `fields`; a field that it lacks is NaN.
        """
        found = [nan] * len(self.names)
        for position, of_event in self._own:
            found[position] = of_event(fields, unit)
        for position, fact in self._calendar:
            found[position] = fact(time)
        for group, trail, readers in zip(self.groups, state, self._readers, strict=True):
            views = group.views(trail, time)
            for position, view, read in readers:
                found[position] = read(trail, views[view], unit, time)
        return found

    def correct(self, state: list[Trail], time: int, event_id: str, fraud: bool) -> bool:
        """Set whether an earlier event was fraud; return whether anything changed."""
        changed = False
        for group, trail in zip(self.groups, state, strict=True):
            changed |= group.correct(trail, time, event_id, int(fraud))
        return changed


def _groups(features: Sequence[Feature], lateness: int) -> Iterator[Group]:
    alike: dict[tuple[bool, Where | None, Needed | None], list[Feature]] = {}
    for feature in features:
        alike.setdefault((feature.exact, feature.where, needed(feature)), []).append(feature)
    yield from (ExactGroup(group, lateness) for (exact, *_), group in alike.items() if exact)
    yield from (TiledGroup(group) for (exact, *_), group in alike.items() if not exact)


def _asked(where: Where, unit: str, fields: Fields) -> Any:
    value = fields.get(where.field)
    return value if where.field != AMOUNT or value is None else value / SCALES.get(unit, 1)


def _own(name: str) -> Callable[[Fields, str], float]:
    money = name == AMOUNT

    def read(fields: Fields, unit: str) -> float:
        value = fields.get(name)
        return nan if value is None else value / SCALES.get(unit, 1) if money else float(value)

    return read
