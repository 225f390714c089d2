"""Reading aggregates off exact windows: one small function per aggregate, made once for each declared feature."""

from collections.abc import Callable, Sequence
from math import nan, sqrt

from processors.columns import SCALES, scale_of
from processors.definitions import AMOUNT, Feature
from processors.trail import Span, Trail

Read = Callable[[Trail, Span, str, int], float]
"""Reads a feature off a trail and a span of it, for a unit, at a time."""


def exact_reader(feature: Feature, columns: Sequence[int]) -> Read:
    """Return how to read a feature; `columns` are where its totals stand, counted from 1."""
    read = _READERS[feature.aggregate](feature, *columns)
    return read if feature.ttl is None else _expiring(feature, read)


def _expiring(feature: Feature, read: Read) -> Read:
    ttl, money = feature.ttl or 0, feature.of == AMOUNT

    def fresh(trail: Trail, span: Span, unit: str, time: int) -> float:
        newest = span.hi - 1
        while money and newest >= span.lo and trail.unit_of(newest) != unit:
            newest -= 1
        expired = newest < span.lo or time - trail.times[newest] > ttl
        return nan if expired else read(trail, span, unit, time)

    return fresh


def _count(feature: Feature, *_columns: int) -> Read:
    empty = feature.empty

    def held(_trail: Trail, span: Span, _unit: str, _time: int) -> float:
        return float(span.hi - span.lo or empty)

    def of_unit(_trail: Trail, span: Span, unit: str, _time: int) -> float:
        total = span.totals.get(unit)
        return float(total[0] or empty) if total else empty

    def of_all(_trail: Trail, span: Span, _unit: str, _time: int) -> float:
        return float(_total(span, None, 0) or empty)

    return of_unit if feature.of == AMOUNT else of_all if feature.window is None else held


def _sum(feature: Feature, column: int) -> Read:
    def read(_trail: Trail, span: Span, unit: str, _time: int) -> float:
        of = unit if feature.of == AMOUNT else None
        return _total(span, of, column) / scale_of(feature, unit) if _total(span, of, 0) else feature.empty

    return read


def _mean(feature: Feature, column: int) -> Read:
    empty, scale = feature.empty, scale_of(feature, "")

    def of_unit(_trail: Trail, span: Span, unit: str, _time: int) -> float:
        total = span.totals.get(unit)
        return total[column] / (total[0] * SCALES.get(unit, 1)) if total and total[0] else empty

    def of_all(_trail: Trail, span: Span, _unit: str, _time: int) -> float:
        if len(span.totals) == 1:
            (total,) = span.totals.values()
            return total[column] / (total[0] * scale) if total[0] else empty
        count = _total(span, None, 0)
        return _total(span, None, column) / (count * scale) if count else empty

    return of_unit if feature.of == AMOUNT else of_all


def _std(feature: Feature, column: int, square: int) -> Read:
    def read(_trail: Trail, span: Span, unit: str, _time: int) -> float:
        of = unit if feature.of == AMOUNT else None
        count, total, squares = (_total(span, of, at) for at in (0, column, square))
        return sample_deviation(count, total, squares) / scale_of(feature, unit) if count > 1 else feature.empty

    return read


def sample_deviation(count: int, total: int, squares: int) -> float:
    """Return the standard deviation (n − 1) of at least two whole numbers by their exact sums."""
    return sqrt((count * squares - total * total) / (count * (count - 1)))


def _total(span: Span, unit: str | None, column: int) -> int:
    """Return the number of events (column 0) or a column's sum, of one unit or (None) of all."""
    totals = span.totals
    if unit is not None:
        return totals[unit][column] if unit in totals else 0
    return sum([total[column] for total in totals.values()])


def _of_values(pick: Callable[[list[int]], int]) -> Callable[[Feature, int], Read]:
    def build(feature: Feature, column: int) -> Read:
        money, counts = feature.of == AMOUNT, feature.aggregate == "distinct"

        def read(trail: Trail, span: Span, unit: str, _time: int) -> float:
            rows, any_unit = trail.rows, not money or (not trail.units and trail.unit == unit)
            within = range(span.lo, span.hi)
            seen = [rows[at][column - 1] for at in within if any_unit or trail.unit_of(at) == unit]
            return pick(seen) / (1 if counts else scale_of(feature, unit)) if seen else feature.empty

        return read

    return build


def _since_last(feature: Feature, *_columns: int) -> Read:
    money = feature.of == AMOUNT

    def read(trail: Trail, span: Span, unit: str, time: int) -> float:
        earlier = span.hi - 1
        while earlier >= span.lo and (trail.times[earlier] >= time or (money and trail.unit_of(earlier) != unit)):
            earlier -= 1
        return (time - trail.times[earlier]) / 1000 if earlier >= span.lo else nan

    return read


_READERS: dict[str, Callable[..., Read]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "rate": _mean,
    "std": _std,
    "min": _of_values(min),
    "max": _of_values(max),
    "first": _of_values(lambda seen: seen[0]),
    "last": _of_values(lambda seen: seen[-1]),
    "distinct": _of_values(lambda seen: len(set(seen))),
    "since_last": _since_last,
}
