"""Reading aggregates off tiles: what each aggregate makes of the partials of a window."""

from collections.abc import Callable
from math import nan

from processors.columns import scale_of
from processors.definitions import AMOUNT, FRAUD, Feature
from processors.exact_readers import sample_deviation
from processors.tiles import Partial, Tile, distinct
from processors.trail import Trail

ReadTiles = Callable[[Trail, list[Tile], str, int], float]
"""Reads a feature off the tiles of a window, for a unit, at a time."""


Finalize = Callable[[list[Partial]], float | None]
"""Makes an aggregate of partials; None where there is nothing to make it of."""


def tiled_reader(feature: Feature, slot: int) -> ReadTiles:
    """Return how to read a feature; `slot` is where the partials of its field stand in a tile."""
    if feature.aggregate == "since_last":
        return _since_last(feature, slot)
    finalize, counts = FINALIZE[feature.aggregate], feature.aggregate in ("count", "distinct")

    def read(_trail: Trail, tiles: list[Tile], unit: str, time: int) -> float:
        partials = _partials(feature, tiles, slot, unit)
        if _expired(feature, partials, time):
            return nan
        value = finalize([_labelled(partials, tiles)] if feature.of == FRAUD else partials)
        if not value:
            return feature.empty if value is None else 0.0
        return float(value) if counts else value / scale_of(feature, unit)

    return read


def _expired(feature: Feature, partials: list[Partial], time: int) -> bool:
    ttl = feature.ttl
    return ttl is not None and (not partials or time - max([partial.last_at for partial in partials]) > ttl)


def _partials(feature: Feature, tiles: list[Tile], slot: int, unit: str) -> list[Partial]:
    if feature.of == AMOUNT:
        return [tile.parts[unit][slot] for tile in tiles if unit in tile.parts]
    return [parts[slot] for tile in tiles for parts in tile.parts.values()]


def _labelled(partials: list[Partial], tiles: list[Tile]) -> Partial:
    """Return the partial of the events' 0/1 fraud flags."""
    count, known = sum([partial.count for partial in partials]), sum([tile.known for tile in tiles])
    return Partial(count, known, known, int(known >= count), int(known > 0))


def _since_last(feature: Feature, slot: int) -> ReadTiles:
    def read(_trail: Trail, tiles: list[Tile], unit: str, time: int) -> float:
        partials = _partials(feature, tiles, slot, unit)
        newest = [partial.last_at if partial.last_at < time else partial.before for partial in partials]
        since = (time - max([at for at in newest if at is not None and at < time], default=nan)) / 1000
        return nan if _expired(feature, partials, time) else since

    return read


def _count(partials: list[Partial]) -> int | None:
    return sum([partial.count for partial in partials]) or None


def _sum(partials: list[Partial]) -> int | None:
    return sum([partial.total for partial in partials]) if _count(partials) else None


def _mean(partials: list[Partial]) -> float | None:
    count = _count(partials)
    return sum([partial.total for partial in partials]) / count if count else None


def _std(partials: list[Partial]) -> float | None:
    count = _count(partials) or 0
    if count < 2:
        return None
    total, squares = sum([partial.total for partial in partials]), sum([partial.squares for partial in partials])
    return sample_deviation(count, total, squares)


def _min(partials: list[Partial]) -> int | None:
    return min([partial.low for partial in partials if partial.count], default=None)


def _max(partials: list[Partial]) -> int | None:
    return max([partial.high for partial in partials if partial.count], default=None)


def _first(partials: list[Partial]) -> int | None:
    return min(partials, key=lambda partial: partial.first_at).first if partials else None


def _last(partials: list[Partial]) -> int | None:
    return max(partials, key=lambda partial: partial.last_at).last if partials else None


def _distinct(partials: list[Partial]) -> int | None:
    return distinct(partials) or None


FINALIZE: dict[str, Finalize] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "rate": _mean,
    "std": _std,
    "min": _min,
    "max": _max,
    "first": _first,
    "last": _last,
    "distinct": _distinct,
}
"""What each aggregate makes of partials; the same whether they are merged before or not."""
