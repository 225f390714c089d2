"""The oracle of feature sets: every feature by scanning all events, short enough to be believed by reading it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isnan, nan
from statistics import fmean, stdev
from typing import Any

from processors.definitions import Feature
from processors.tiles import hop

HOUR = 3_600_000
DAY = 24 * HOUR
MINOR = {"EUR": 100, "JPY": 1, "BTC": 100_000_000}


@dataclass(frozen=True)
class Event:
    """What happened, in whole milliseconds and minor units; `fields` are what a feature may ask for beside those."""

    time: int
    event_id: str
    unit: str
    amount: int
    fields: dict[str, Any]
    fraud: bool = False

    def field(self, name: str) -> Any:
        """Return a field as its reader means it: amounts in their own unit."""
        return {"amount": self.amount / MINOR[self.unit], "fraud": int(self.fraud)}.get(name, self.fields.get(name))

    def kept(self) -> dict[str, Any]:
        """Return the fields as a feature set takes them in, before any label."""
        return self.fields | {"amount": self.amount, "fraud": 0}


Sees = Callable[[Feature, int, int, int], bool]
"""Whether a feature at a time, with the newest event of another time, sees an event of a third."""


def exactly(feature: Feature, now: int, _newest: int, time: int) -> bool:
    """The window (now − delay − window, now − delay]."""
    end = now - feature.delay
    return time <= end and (feature.window is None or time > end - feature.window)


def in_tiles(feature: Feature, now: int, newest: int, time: int) -> bool:
    """The same window of whole tiles, where head and tail end at tile edges; see processors/tiled_windows.py."""
    tile = hop(feature.window)
    start, end = ((time - 1) // tile) * tile, ((time - 1) // tile + 1) * tile
    if feature.window is not None and end <= max(now, newest) - feature.delay - feature.window:
        return False
    if feature.window is None and end <= newest - feature.delay:
        return True
    return start < now if feature.delay == 0 else end <= now - feature.delay


class NaiveFeatures:
    """Remembers every event, in order of arrival, and computes each feature anew."""

    def __init__(self, features: tuple[Feature, ...], lateness: int, sees: Sees = exactly) -> None:
        self.features = features
        self.events: list[Event] = []
        self.late = 0
        self._lateness = lateness
        self._sees = sees

    def observe(self, event: Event) -> bool:
        in_time = event.time >= max((other.time for other in self.events), default=0) - self._lateness
        if in_time:
            self.events.append(event)
        self.late += not in_time
        return in_time

    def correct(self, event_id: str, fraud: bool) -> None:
        self.events = [replace(event, fraud=fraud) if event.event_id == event_id else event for event in self.events]

    def values(self, now: int, event: Event) -> list[float]:
        return [self._value(feature, now, event) for feature in self.features]

    def _value(self, feature: Feature, now: int, event: Event) -> float:
        if feature.calendar is not None:
            return _calendar(feature.calendar, now)
        if feature.aggregate == "value":
            own = event.field(feature.of)
            return nan if own is None else float(own)
        newest = max((other.time for other in self.events), default=0)
        seen = [other for other in self.events if self._sees(feature, now, newest, other.time)]
        seen = [other for other in seen if _passes(feature, other)]
        seen = sorted(seen, key=lambda other: other.time)
        if feature.of is not None:
            seen = [other for other in seen if other.field(feature.of) is not None]
        if feature.of == "amount":
            seen = [other for other in seen if other.unit == event.unit]
        if feature.ttl is not None and (not seen or now - seen[-1].time > feature.ttl):
            return nan
        if feature.aggregate == "since_last":
            return (now - max(earlier)) / 1000 if (earlier := [e.time for e in seen if e.time < now]) else nan
        values = [other.field(feature.of) for other in seen] if feature.of else []
        return _aggregated(feature, len(seen), values)


def _passes(feature: Feature, event: Event) -> bool:
    where = feature.where
    if where is None:
        return True
    value = event.field(where.field)
    return (
        value is not None
        and (where.equals is None or str(value) == where.equals)
        and (where.at_least is None or value >= where.at_least)
        and (where.below is None or value < where.below)
    )


def _aggregated(feature: Feature, count: int, values: list[Any]) -> float:
    if count == 0 or (feature.aggregate == "std" and count == 1):
        return feature.empty
    match feature.aggregate:
        case "count":
            return count
        case "sum":
            return sum(values)
        case "mean" | "rate":
            return fmean(values)
        case "std":
            return stdev(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "first":
            return values[0]
        case "last":
            return values[-1]
        case "distinct":
            return len(set(values))
    raise AssertionError(feature.aggregate)


def _calendar(fact: str, time: int) -> float:
    moment = datetime.fromtimestamp(time / 1000, UTC)
    facts = {
        "weekend": moment.weekday() >= 5,
        "night": moment.hour <= 6,
        "hour": moment.hour,
        "weekday": moment.weekday(),
    }
    return float(facts[fact])


def agree(mine: list[float], naive: list[float]) -> bool:
    """Return whether two lists of values are the same up to 1e-9, missing ones included."""
    return all(
        (isnan(one) and isnan(other)) or abs(one - other) <= 1e-9 * max(1.0, abs(one), abs(other))
        for one, other in zip(mine, naive, strict=True)
    )
