"""How a mapping turns the values of a column into the values of a field."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import yaml
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from schemas.durations import milliseconds

Values = Sequence[Any]
"""One value per row: text, a number, a datetime, or None where the file has nothing."""

_SECONDS = {
    "nanoseconds": 1e-9,
    "microseconds": 1e-6,
    "milliseconds": 1e-3,
    "seconds": 1.0,
    "minutes": 60.0,
    "hours": 3_600.0,
    "days": 86_400.0,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rule(BaseModel):
    """A part of a mapping: its keys are exactly the ones written here."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _zone(name: Any) -> Any:
    try:
        return ZoneInfo(name)
    except (ValueError, KeyError, TypeError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone such as UTC or Europe/Berlin") from None


def _pattern(text: Any) -> Any:
    try:
        return re.compile(text)
    except (re.error, TypeError) as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None


def _table(given: Any, info: ValidationInfo) -> Any:
    if not isinstance(given, str):
        return given
    path = Path(info.context or ".") / given
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"the table {path} cannot be read: {error}") from None


def _span(given: Any) -> Any:
    return milliseconds(given) if isinstance(given, str) else given


class Pattern(Rule):
    """A value in which `match` is found becomes `use`, where \\1 stands for the first group."""

    match: Annotated[re.Pattern[str], BeforeValidator(_pattern)]
    use: str

    def apply(self, value: str) -> str | None:
        """Return what the value becomes, or None when this pattern is not in it."""
        found = self.match.search(value)
        return found.expand(self.use) if found else None


class Text(Rule):
    """Cleans text: trim, then case, then the first pattern found, then the table."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    trim: bool = True
    case: Literal["lower", "upper"] | None = None
    patterns: tuple[Pattern, ...] = ()
    table: Annotated[dict[str, str], BeforeValidator(_table)] = Field(default_factory=dict)
    otherwise: str | None = None

    def convert(self, values: Values) -> Values:
        """Return the clean text of each value; equal values are cleaned once."""
        clean = cache(self._clean)
        return [None if value is None else clean(value) for value in values]

    def _clean(self, value: Any) -> str | None:
        text = str(value)
        if self.trim:
            text = " ".join(text.split())
        if self.case:
            text = text.lower() if self.case == "lower" else text.upper()
        text = next((new for pattern in self.patterns if (new := pattern.apply(text)) is not None), text)
        if self.table:
            return self.table.get(text, text if self.otherwise is None else self.otherwise)
        return text or None


class Number(Rule):
    """Makes an exact decimal: characters removed, then the decimal mark, then the factor, then rounding.

    `decimals` rounds what a file keeps as binary floats (12.340000000000001) back to the decimals it means.
    """

    remove: str = ""
    decimal_mark: Literal[".", ","] = "."
    times: Decimal = Decimal(1)
    decimals: Annotated[int, Field(ge=0, le=18)] | None = None

    def convert(self, values: Values) -> Values:
        """Return a number or its text for each value; what is no number is left as it is, for the schema to refuse."""
        if self.times == 1 and all(type(value) is float for value in values):
            return values if self.decimals is None else [round(value, self.decimals) for value in values]
        return [None if value is None else self._exact(value) for value in values]

    def _exact(self, value: Any) -> str:
        text = str(value).strip().translate(dict.fromkeys(map(ord, self.remove))).replace(self.decimal_mark, ".")
        try:
            number = Decimal(text) * self.times
            return f"{number if self.decimals is None else round(number, self.decimals):f}"
        except (InvalidOperation, ValueError, OverflowError):
            return text


class Time(Rule):
    """Makes an instant: from text, from a datetime, or from a number of `unit` since `since`.

    `zone` is that of times written without an offset; without it they are refused. `delay` is added.
    """

    zone: Annotated[ZoneInfo | None, BeforeValidator(_zone)] = None
    layout: str | None = None
    unit: Literal["nanoseconds", "microseconds", "milliseconds", "seconds", "minutes", "hours", "days"] | None = None
    since: AwareDatetime = _EPOCH
    delay: Annotated[int, BeforeValidator(_span), Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_way_to_read(self) -> "Time":
        if self.unit and self.layout:
            raise ValueError("give `layout` for text or `unit` for numbers, not both")
        return self

    def convert(self, values: Values) -> Values:
        """Return a datetime for each value; what is no time is left as it is, for the schema to refuse."""
        instant = self._instant()
        return [None if value is None else instant(value) for value in values]

    def _instant(self) -> Callable[[Any], Any]:
        zone = UTC if self.zone and self.zone.key == "UTC" else self.zone
        delay = timedelta(milliseconds=self.delay)

        def instant(value: Any) -> Any:
            try:
                moment = value if isinstance(value, datetime) else self._read(value)
                if moment.tzinfo is None and zone is not None:
                    moment = moment.replace(tzinfo=zone)
                return moment + delay if delay else moment
            except (ValueError, TypeError, OverflowError):
                return value

        return instant

    def _read(self, value: Any) -> datetime:
        if self.unit:
            return self.since + timedelta(seconds=float(value) * _SECONDS[self.unit])
        if self.layout:
            return datetime.strptime(str(value), self.layout)
        return datetime.fromisoformat(str(value))
