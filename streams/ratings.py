"""Ratings in the layout of MovieLens: tab-separated, with a file of items beside them."""

import gzip
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from online_models.factorisation import Item
from streams.files import UnreadableFile

T = TypeVar("T")


class Rating(NamedTuple):
    """What a user made of an item at an event time, in milliseconds since 1970 UTC."""

    user: str
    item: Item
    at: int
    value: float


@dataclass(frozen=True)
class RatingHistory:
    """Ratings in order of time, of equal times in the order of the file, and all items by id."""

    ratings: list[Rating]
    items: dict[str, Item]

    @property
    def scale(self) -> tuple[float, float]:
        """Return the least and the greatest rating."""
        values = {rating.value for rating in self.ratings}
        return min(values), max(values)


def rating_history(path: Path) -> RatingHistory:
    """Return the ratings of a file (.tsv, .inter or .data, also as .gz) with the categories of its items.

    The columns `user_id`, `item_id`, `rating` and `timestamp` (seconds) are named in the first line, each perhaps with
    a type after a colon; without such a line they stand in this order. The items are in the one file named `*.item` or
    `*.item.gz` in the same folder, by `item_id` with their categories, set apart by blanks, under `class`; an item that
    is not there, or where there is no such file, has none. Raises UnreadableFile, which names the file and the line.
    """
    items = _items(path.parent)
    ratings = [_rating(told, items) for told in _rows(path, RATING_COLUMNS, _told)]
    if not ratings:
        raise UnreadableFile(f"{path} holds no ratings")
    if len({rating.value for rating in ratings}) == 1:
        raise UnreadableFile(f"{path}: all ratings are {ratings[0].value:g}, which says nothing of who likes what")
    ratings.sort(key=lambda rating: rating.at)
    return RatingHistory(ratings, items)


RATING_COLUMNS = ("user_id", "item_id", "rating", "timestamp")
ITEM_COLUMNS = ("item_id", "class")


class _Told(NamedTuple):
    user: str
    item: str
    value: float
    at: int


def _told(row: Mapping[str, str]) -> _Told:
    value, seconds = float(row["rating"]), float(row["timestamp"])
    if not math.isfinite(value) or not math.isfinite(seconds):
        raise ValueError(f"rating {value} at {seconds} is not finite")
    if not row["user_id"] or not row["item_id"]:
        raise ValueError("the user or the item is empty")
    return _Told(row["user_id"], row["item_id"], value, round(seconds * 1_000))


def _rating(told: _Told, items: dict[str, Item]) -> Rating:
    item = items.setdefault(told.item, Item(told.item))
    return Rating(told.user, item, told.at, told.value)


def _items(folder: Path) -> dict[str, Item]:
    found = sorted({*folder.glob("*.item"), *folder.glob("*.item.gz")})
    if len(found) > 1:
        raise UnreadableFile(f"{folder} has several files of items: {', '.join(file.name for file in found)}")
    rows = _rows(found[0], ITEM_COLUMNS, _item) if found else ()
    return {item.id: item for item in rows}


def _item(row: Mapping[str, str]) -> Item:
    return Item(row["item_id"], tuple(row["class"].split()))


def _rows(path: Path, wanted: tuple[str, ...], read: Callable[[Mapping[str, str]], T]) -> Iterator[T]:
    """Yield what `read` makes of each line's wanted columns; blank lines are left out."""
    lines = [(number, line.split("\t")) for number, line in enumerate(_lines(path), 1) if line]
    names = [name.partition(":")[0] for name in lines[0][1]] if lines else list(wanted)
    if set(wanted) <= set(names):
        del lines[:1]
    elif wanted is RATING_COLUMNS and len(names) == len(wanted) and names[0].isdigit():
        names = list(wanted)
    else:
        raise UnreadableFile(f"{path} needs the columns {', '.join(wanted)}, set apart by tabs; it has {names}")
    for number, cells in lines:
        try:
            yield read(_named(names, cells))
        except ValueError as error:
            raise UnreadableFile(f"{path}, line {number}: {error}") from error


def _named(names: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) != len(names):
        raise ValueError(f"there are {len(cells)} cells for the {len(names)} columns {', '.join(names)}")
    return dict(zip(names, cells, strict=True))


def _lines(path: Path) -> list[str]:
    try:
        content = path.read_bytes()
        if path.name.endswith(".gz"):
            content = gzip.decompress(content)
        return content.decode().removeprefix("\ufeff").splitlines()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path}: {error}") from error
