"""What recommendations are made of and what they say. All times are milliseconds since 1970 UTC."""

from typing import Annotated, Literal

import msgspec
from pydantic import Field

from schemas.events import Event, Id
from schemas.results import Result

Part = Literal["collaborative", "content", "trending"]


class CatalogueItem(Event):
    """An entry of the catalogue of goods and merchants; the last one published of an `item` holds."""

    item: Id
    title: str | None = None
    categories: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    merchant: Id | None = None
    status: Literal["active", "paused", "expired"] = "active"


class ItemDemand(Result, frozen=True, kw_only=True):
    """How much an item is in demand: `weight` counts who chose it, and halves with time from `event_time` on."""

    item: str
    weight: float
    count: int


class ItemChosen(Result, frozen=True, kw_only=True):
    """Somebody chose an item: bought, rated or redeemed it."""

    item: str
    user: str


class Suggestion(msgspec.Struct, frozen=True):
    """One recommended item: `score` in [0, 1] is the weighted sum of `parts`, and `reason` says why.

    `part` is what makes the item stand out among the others, and what the reason tells of.
    """

    item: str
    score: float
    part: Part
    reason: str
    parts: dict[Part, float]


class Recommendations(Result, frozen=True, kw_only=True):
    """What is recommended to a user, best first, from `event_time` until `expires_at`.

    `weights` are those that the parts really had: a part that knows nothing yet leaves its weight to the others.
    """

    user: str
    expires_at: int
    items: tuple[Suggestion, ...]
    weights: dict[Part, float]
    model: str = "none"
    version: int = 0
