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
    """How much an item is in demand: `weight` counts who chose it, and halves with time from `event_time` on.

    `rated`, `bias` and `factors` are the item's half of the rating model. Of the `count` choices, `unlisted` were made
    while no catalogue had the item.
    """

    item: str
    weight: float
    count: int
    rated: int = 0
    bias: float = 0.0
    factors: tuple[float, ...] = ()
    unlisted: int = 0


class ItemChosen(Result, frozen=True, kw_only=True):
    """Somebody chose an item: bought, rated or redeemed it.

    A rating has a lesson for the item: `error`, by how many stars it was above what was expected, and the `factors` of
    who gave it. `listed` says whether the catalogue had the item then.
    """

    item: str
    user: str
    error: float | None = None
    factors: tuple[float, ...] = ()
    listed: bool = True


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

    `weights` are those that the parts really had: a part that knows nothing yet leaves its weight to the others. Where
    the user has not agreed to more, nothing but the trending part counts, and `personal` is False.
    """

    user: str
    expires_at: int
    items: tuple[Suggestion, ...]
    weights: dict[Part, float]
    personal: bool = True
