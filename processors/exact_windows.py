"""Exact windows: features counted event by event over one trail."""

from collections.abc import Sequence

from processors.columns import Fields, columns_of, row_reader
from processors.definitions import AMOUNT, FRAUD, Feature
from processors.exact_readers import Read, exact_reader
from processors.trail import CHUNK, Span, Trail, Window


class ExactGroup:
    """The features of one entity that look at the same events: one trail, one span per window.

    Events younger than the longest window plus `lateness` are kept, and all of them under a lifetime window, up to the
    cap. `fraud_column` is where a row tells whether the event is known as fraud, None when no feature asks.
    """

    def __init__(self, features: Sequence[Feature], lateness: int) -> None:
        self.features = tuple(features)
        self.where = features[0].where
        self.windows = tuple(dict.fromkeys(Window.of(feature.delay, feature.window) for feature in features))
        self.columns = tuple(dict.fromkeys(column for feature in features for column in columns_of(feature)))
        self.row = row_reader(self.columns)
        self.per_unit = any(feature.of == AMOUNT for feature in features)
        fraud = [at for at, column in enumerate(self.columns) if column.field == FRAUD]
        self.fraud_column = fraud[0] if fraud else None
        self._fraud_columns = fraud
        reaches = [window.reach for window in self.windows]
        self._keep = None if None in reaches else max(reach or 0 for reach in reaches) + lateness

    def new(self) -> Trail:
        """Return the trail of a key never seen."""
        return Trail(spans=[Span(totals={}) for _ in self.windows])

    def take(self, trail: Trail, time: int, event_id: str, unit: str, fields: Fields) -> None:
        """Take an event into the trail, unless it lacks the field that the group is about."""
        row = self.row(fields)
        if row is None:
            self.advance(trail, time)
            return
        name = None if self.fraud_column is None else event_id
        trail.add(self.windows, time, name, unit if self.per_unit else "", row)
        if len(trail.times) > CHUNK:
            trail.forget(self.windows, self._keep)

    def advance(self, trail: Trail, time: int) -> None:
        """Move the windows on to the time of an event that this group does not hold."""
        if time > trail.watched:
            trail.advance(self.windows, time)

    def correct(self, trail: Trail, time: int, event_id: str, fraud: int) -> bool:
        """Set whether an event still at hand was fraud; return whether that is news."""
        at = trail.find(time, event_id) if self.fraud_column is not None else None
        if at is None or trail.rows[at][self._fraud_columns[0]] == fraud:
            return False
        for column in self._fraud_columns:
            trail.correct(at, column, fraud)
        return True

    def views(self, trail: Trail, time: int) -> list[Span]:
        """Return the spans of the windows at `time`."""
        return trail.spans if time == trail.watched else trail.as_of(self.windows, time)

    def reader(self, feature: Feature) -> tuple[int, Read]:
        """Return which view a feature is read off, and how."""
        columns = [self.columns.index(column) + 1 for column in columns_of(feature)]
        return self.windows.index(Window.of(feature.delay, feature.window)), exact_reader(feature, columns)
