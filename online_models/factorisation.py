"""The rating model: who will like what, learned one rating at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec
import numpy as np

from online_models import factor_kernels as kernels
from online_models.base import Vector
from online_models.factor_state import (
    RATES,
    Factors,
    Indices,
    Items,
    Rows,
    Users,
    emptied,
    first_factors,
    no_items,
    no_users,
    packed,
    rows_of,
)

CACHED = 10_000


class Item(NamedTuple):
    """Something to rate, and the categories it is in."""

    id: str
    categories: tuple[str, ...] = ()


class RatingModel(Protocol):
    """Expects a rating, then learns it."""

    def predict_one(self, user: str, item: Item, at: int) -> float:
        """Return the rating expected at an event time (milliseconds). Learns nothing."""
        ...

    def learn_one(self, user: str, item: Item, at: int, rating: float) -> None:
        """Learn what a user rated an item."""
        ...


class FactorSettings(msgspec.Struct, frozen=True):
    """How a `Factorisation` learns. Rates are for a scale of five stars; other scales are brought to it."""

    low: float = 1.0
    """The worst rating."""
    high: float = 5.0
    """The best rating."""
    factors: int = 20
    spread: float = 0.1
    """Standard deviation of a new user's factors; a new item's are 0."""
    seed: int = 7
    factor_rate: float = 0.1
    factor_decay: float = 0.01
    """Pull of the factors towards 0 at each step."""
    user_smoothing: float = 5.0
    """Ratings of no bias that a user begins with."""
    item_smoothing: float = 3.0
    category_smoothing: float = 10.0
    mood_smoothing: float = 10.0
    slowest: float = 0.01
    """Least step of a bias, so that it follows those who change."""
    mood_ms: float = 1_800_000.0
    """Time in which a mood fades to 37 %."""
    mood_kept: float = 0.9
    """Share of the mood that one more rating leaves."""
    most_users: int = 100_000
    most_items: int = 100_000
    most_categories: int = 32
    """Categories that come after these are not told apart."""

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"a scale needs a finite low below its high, got {self.low} and {self.high}")
        if min(self.factors, self.most_users, self.most_items, self.most_categories) < 1:
            raise ValueError("factors, most_users, most_items and most_categories are at least 1")


class _Snapshot(msgspec.Struct, frozen=True):
    kind: Literal["factorisation"]
    settings: FactorSettings
    categories: tuple[str, ...]
    users: tuple[str, ...]
    items: tuple[str, ...]
    scalars: bytes
    user_rows: tuple[bytes, ...]
    item_rows: tuple[bytes, ...]


class Factorisation:
    """Online matrix factorisation with biases of users, items and users on categories, and a user's mood.

    A rating is expected to be the mean of all, plus the bias of the user and of the item, plus the user's bias on the
    item's categories, plus the user's mood of the moment, plus the product of their factors (after Koren, Bell and
    Volinsky 2009). Biases are running means, so that the first ratings move them most. A user's first factors depend
    on the id alone. Of users and items beyond `most_users` and `most_items`, those learned longest ago are forgotten.
    """

    def __init__(self, settings: FactorSettings | None = None) -> None:
        self._begin(settings or FactorSettings())

    def _begin(self, settings: FactorSettings) -> None:
        self.settings = settings
        self._unit = (settings.high - settings.low) / kernels.SPAN
        self._user_rows, self._item_rows = Rows(settings.most_users), Rows(settings.most_items)
        self._columns: dict[str, int] = {}
        self._cached: dict[tuple[str, ...], Indices] = {}
        self._state = Factors(
            no_users(0, settings.factors, settings.most_categories),
            no_items(0, settings.factors),
            np.array([kernels.SPAN / 2.0, 0.0]),
            np.array([getattr(settings, name) for name in RATES], dtype=np.float64),
        )

    @property
    def learned(self) -> int:
        """Return how many ratings were learned."""
        return int(self._state.scalars[1])

    @property
    def users(self) -> int:
        """Return how many users are known."""
        return len(self._user_rows)

    @property
    def items(self) -> int:
        """Return how many items are known."""
        return len(self._item_rows)

    def predict_one(self, user: str, item: Item, at: int) -> float:
        """Return the rating expected at an event time (milliseconds), within the scale. Changes nothing.

        Of an unknown user or item, what is known of the other speaks.
        """
        u, i = self._user_rows.get(user), self._item_rows.get(item.id)
        known = self._known(item.categories)
        stars = kernels.predict(self._state, u, i, known, float(at))
        return float(self.settings.low + self._unit * min(max(stars, 0.0), kernels.SPAN))

    def predict_many(self, user: str, items: Sequence[Item], at: int) -> Vector:
        """Return the rating expected of each item: the same, to the last bit, as one by one. Changes nothing."""
        known = [self._known(item.categories) for item in items]
        rows = np.array([self._item_rows.get(item.id) for item in items], dtype=np.int64)
        starts = np.zeros(len(items) + 1, dtype=np.int64)
        np.cumsum([own.size for own in known], out=starts[1:])
        columns = np.concatenate([*known, np.empty(0, dtype=np.int64)])
        stars = kernels.predict_many(self._state, self._user_rows.get(user), rows, starts, columns, float(at))
        return self.settings.low + self._unit * np.clip(stars, 0.0, kernels.SPAN)

    def learn_one(self, user: str, item: Item, at: int, rating: float) -> None:
        """Learn what a user rated an item at an event time (milliseconds).

        `ValueError`, with nothing learned, for a rating that is no number or off the scale.
        """
        if not self.settings.low <= rating <= self.settings.high:
            raise ValueError(
                f"rating of {item.id!r} by {user!r} is {rating}, not on the scale "
                f"from {self.settings.low:g} to {self.settings.high:g}"
            )
        known = self._columns_of(item.categories)
        u, i = self._user(user), self._item(item.id)
        kernels.learn(self._state, u, i, known, float(at), (rating - self.settings.low) / self._unit)

    def _user(self, user: str) -> int:
        row, new = self._user_rows.use(user)
        if new:
            s = self.settings
            users = Users(*(emptied(array, row, s.most_users) for array in self._state.users))
            users.factors[row] = first_factors(user, s.seed, s.factors, s.spread)
            self._state = self._state._replace(users=users)
        return row

    def _item(self, item: str) -> int:
        row, new = self._item_rows.use(item)
        if new:
            limit = self.settings.most_items
            items = Items(*(emptied(array, row, limit) for array in self._state.items))
            self._state = self._state._replace(items=items)
        return row

    def _known(self, categories: tuple[str, ...]) -> Indices:
        """Return the column of each category, -1 for those that have none."""
        found = self._cached.get(categories)
        if found is None:
            columns = [self._columns.get(name, -1) for name in dict.fromkeys(categories)]
            found = np.array(columns, dtype=np.int64)
            if len(self._cached) >= CACHED:
                self._cached.clear()
            self._cached[categories] = found
        return found

    def _columns_of(self, categories: tuple[str, ...]) -> Indices:
        """Return the columns of categories, after giving new ones a column while there are any left."""
        for name in categories:
            if name not in self._columns and len(self._columns) < self.settings.most_categories:
                self._columns[name] = len(self._columns)
                self._cached.clear()
        return self._known(categories)

    def snapshot(self) -> bytes:
        """Return all of the state as MessagePack: plain data, some 730 bytes per user and 180 per item."""
        users, items = self._user_rows.order(), self._item_rows.order()
        return msgspec.msgpack.encode(
            _Snapshot(
                "factorisation",
                self.settings,
                tuple(self._columns),
                tuple(self._user_rows),
                tuple(self._item_rows),
                self._state.scalars.astype("<f8").tobytes(),
                tuple(packed(array, users) for array in self._state.users),
                tuple(packed(array, items) for array in self._state.items),
            )
        )

    def restore(self, blob: bytes) -> None:
        """Take over a snapshot with its settings; `ValueError`, with nothing changed, when it is none of this model."""
        try:
            told = msgspec.msgpack.decode(blob, type=_Snapshot)
        except msgspec.DecodeError as error:
            raise ValueError(f"not a snapshot of a rating model: {error}") from error
        s = told.settings
        users = rows_of(no_users(0, s.factors, s.most_categories), told.user_rows, len(told.users))
        items = rows_of(no_items(0, s.factors), told.item_rows, len(told.items))
        scalars = np.frombuffer(told.scalars, "<f8").astype(np.float64)
        self._begin(s)
        self._columns = {name: column for column, name in enumerate(told.categories)}
        self._user_rows, self._item_rows = Rows(s.most_users, told.users), Rows(s.most_items, told.items)
        self._state = Factors(Users(*users), Items(*items), scalars, self._state.rates)
