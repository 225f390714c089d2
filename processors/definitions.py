"""Declared features: what to aggregate, over which window, for whom. Typed Python, or the same in YAML."""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from math import nan
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from schemas.durations import milliseconds
from schemas.records import DAY

AMOUNT, FRAUD = "amount", "fraud"
"""The fields every event has. Amounts are kept per unit (euros and miles are never added up); `fraud` is 1 once the
event is known to be fraud."""

Duration = Annotated[int, BeforeValidator(milliseconds), Field(ge=0)]
MaybeDuration = Annotated[int | None, BeforeValidator(lambda span: None if span is None else milliseconds(span))]
Aggregate = Literal[
    "count", "sum", "mean", "min", "max", "std", "first", "last", "distinct", "rate", "since_last", "value"
]
Calendar = Literal["weekend", "night", "hour", "weekday"]
Entity = Literal["user", "terminal", "card", "device", "merchant"]
ENTITIES: tuple[Entity, ...] = get_args(Entity)
MIN_WINDOW = 60_000
MAX_WINDOW = 90 * DAY


class Where(BaseModel):
    """A filter on one field of the event: `equals` one value, or `at_least` / `below` a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    field: str
    equals: str | None = None
    at_least: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.equals is None and self.at_least is None and self.below is None:
            raise ValueError("a filter asks `equals`, `at_least` or `below`")
        if self.field == FRAUD:
            raise ValueError("events can't be filtered by `fraud`, which is known only later: take its sum or rate")
        return self

    def holds(self, value: Any) -> bool:
        """Return whether an event whose field has this value passes; amounts are in their own unit."""
        if value is None or (self.equals is not None and str(value) != self.equals):
            return False
        if self.at_least is None and self.below is None:
            return True
        number = value if isinstance(value, (int, float, Decimal)) else nan
        return (self.at_least is None or number >= self.at_least) and (self.below is None or number < self.below)


class Feature(BaseModel):
    """One feature: an aggregate of a field over an entity's events in a window, or a fact of the event itself.

    The window at time t is (t − delay − window, t − delay], with the event at t in it when there is no delay. `window`
    is 1m to 90d, None is the lifetime. `of` is a numeric field, and any field for `distinct`; events without it don't
    count. `rate` is the mean of a 0/1 field, `since_last` the seconds since the last earlier event. `exact` counts
    event by event; otherwise totals rest in tiles, whose memory does not grow with the event rate. `empty` is the value
    of a window without events, and of a `std` of one; `since_last` has none then. With `ttl` the value is missing (NaN)
    when the newest event in the window is older than that. `value` is a field of the event, `calendar` a fact of its
    time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    entity: Entity = "user"
    source: Literal["transactions"] = "transactions"
    aggregate: Aggregate = "count"
    of: str | None = None
    window: MaybeDuration = None
    delay: Duration = 0
    where: Where | None = None
    ttl: MaybeDuration = None
    exact: bool = True
    calendar: Calendar | None = None
    empty: float = 0.0

    @property
    def windowed(self) -> bool:
        """Whether this looks at a window of events, not at the one event alone."""
        return self.calendar is None and self.aggregate != "value"

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.window is not None and not MIN_WINDOW <= self.window <= MAX_WINDOW:
            raise ValueError("window: it is between 1m and 90d, or absent for the lifetime")
        if self.calendar is None and self.of is None and self.aggregate not in ("count", "since_last"):
            raise ValueError(f"of: aggregate {self.aggregate!r} needs the field it aggregates")
        if not self.windowed and (useless := self.model_fields_set & {"window", "delay", "where", "ttl", "exact"}):
            raise ValueError(f"{min(useless)}: a fact of the event itself has no window")
        if not self.exact and self.of == FRAUD and (self.where or self.aggregate in ("first", "last", "distinct")):
            raise ValueError(
                "exact: tiles don't know single events, which a filtered or picked `fraud` needs; say true"
            )
        return self


_features = TypeAdapter(tuple[Feature, ...])


def features_from(declared: Iterable[Any]) -> tuple[Feature, ...]:
    """Return the features declared by plain values, as YAML gives them. Raises ValueError naming feature and field."""
    declared = tuple(declared)
    try:
        features = _features.validate_python(declared)
    except ValidationError as error:
        raise ValueError("; ".join(_complaint(declared, wrong) for wrong in error.errors(include_url=False))) from None
    counts = Counter(feature.name for feature in features)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise ValueError(f"declared twice: {', '.join(twice)}; every feature has a name of its own")
    return features


def _complaint(declared: tuple[Any, ...], wrong: Mapping[str, Any]) -> str:
    at, *path = wrong["loc"]
    given = declared[at]
    name = given.get("name") if isinstance(given, Mapping) else None
    field = ".".join(str(part) for part in path)
    message = wrong["msg"].removeprefix("Value error, ")
    return f"feature {name or at + 1}: {field}{': ' if field else ''}{message}"
