"""Mappings: how the rows of somebody's file become messages of a topic, and their labels feedback that comes later."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from heapq import heappop, heappush
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import orjson
import yaml
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import BadMessage
from schemas.events import Feedback, Transaction
from schemas.privacy import Tokeniser
from schemas.records import AnyRecord, AnyTopic, Record
from schemas.topics import BY_NAME, FEEDBACK
from streams.cleaning import Number, Rule, Text, Time
from streams.files import Rows, kind, lines, read

Refuse = Callable[[int, BadMessage], None]
"""Told the number of a row (from 0) that is no message, and why."""

Kind = Literal["chargeback", "verdict"]
Verdict = Literal["fraud", "genuine"] | None


class MappingError(ValueError):
    """A mapping is wrong or does not fit its file; the message names the file and the key."""


def _column(given: Any) -> Any:
    return {"column": given} if isinstance(given, str) else given


class Source(Rule):
    """Where a field comes from: a column, and at most one way to clean it."""

    column: str
    text: Text | None = None
    number: Number | None = None
    time: Time | None = None

    @model_validator(mode="after")
    def _one_way_to_clean(self) -> Self:
        if len(self.model_fields_set - {"column"}) > 1:
            raise ValueError("a field is cleaned as `text`, as `number` or as `time`, not as two of them")
        return self

    def values(self, rows: Rows) -> Sequence[Any]:
        """Return the field's value for each row."""
        values = rows.columns.get(self.column) or [None] * rows.count
        rule = self.text or self.number or self.time
        return values if rule is None else rule.convert(values)


class Choice(Rule):
    """Chooses rows by a column, such as the one that tells, in hindsight, which were fraud."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    column: str
    values: tuple[str, ...] = ("1", "true", "yes")

    def among(self, rows: Rows) -> list[bool]:
        """Return whether each row is chosen."""
        said = frozenset(text.lower() for text in self.values)
        return [str(value).lower() in said for value in rows.columns.get(self.column, [None] * rows.count)]


class Mapping(Rule):
    """A topic's fields in terms of a file's columns. Rows that `only` does not select are left out."""

    topic: Annotated[str, Field(pattern="|".join(f"^{name}$" for name in BY_NAME))]
    fields: dict[str, Annotated[Source, BeforeValidator(_column)]]
    constants: dict[str, Any] = Field(default_factory=dict)
    only: Choice | None = None
    label: Choice | None = None

    @model_validator(mode="after")
    def _tells_all_that_is_required(self) -> Self:
        for name, info in BY_NAME[self.topic].model.model_fields.items():
            if info.is_required() and name not in self.fields and name not in self.constants:
                raise ValueError(f"{self.topic} needs `{name}`: name its column under `fields`, or a constant")
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a mapping. Raises MappingError, which names the file and the key."""
        try:
            return cls.model_validate(yaml.safe_load(path.read_text()), context=path.parent)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise MappingError(f"{path} cannot be read: {error}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(str(part) for part in first["loc"]) or "the mapping"
            raise MappingError(f"{path}: {key}: {first['msg']}") from None

    def refuse_other_columns(self, columns: Sequence[str]) -> None:
        """Raise MappingError unless a file with these columns has all that is named here."""
        wanted = {name: source.column for name, source in self.fields.items()}
        wanted |= {name: part.column for name in ("only", "label") if (part := getattr(self, name))}
        for name, column in wanted.items():
            if column not in columns:
                raise MappingError(f"{name}: the file has no column {column!r}; it has {', '.join(sorted(columns))}")

    def encode(self, rows: Rows) -> list[bytes]:
        """Return the JSON of each row's message."""
        columns = {name: source.values(rows) for name, source in self.fields.items()}
        return encoded(columns | {name: [value] * rows.count for name, value in self.constants.items()})


def records(
    path: Path,
    topic: AnyTopic,
    mapping: Mapping | None = None,
    *,
    label_delay_ms: int | None = None,
    tokeniser: Tokeniser | None = None,
    refuse: Refuse | None = None,
) -> Iterator[AnyRecord]:
    """Yield the rows of a file as records of `topic`, in the file's order, each with its row's number as offset.

    Where the mapping has a label and `label_delay_ms` is given, each fraud's chargeback follows that much after it,
    merged by event time: before a row of the same time. Without a mapping, columns are fields. A row that is no
    message goes to `refuse`; without it, it raises BadMessage.
    """
    if mapping is not None and mapping.topic != topic.name:
        raise MappingError(f"the mapping is for {mapping.topic}, not {topic.name}")
    batches = _as_they_are(path, topic, tokeniser) if mapping is None else _mapped(path, topic, mapping, tokeniser)
    labelled = _recorded(topic, batches, refuse or _raise)
    if label_delay_ms is None or mapping is None or mapping.label is None:
        return (record for record, _ in labelled)
    return with_feedback((record, feedback_on(record, label_delay_ms) if fraud else None) for record, fraud in labelled)


def with_feedback(pairs: Iterable[tuple[AnyRecord, AnyRecord | None]]) -> Iterator[AnyRecord]:
    """Yield the first records in their order, and the feedback on each when its time has come, before its equals."""
    pending: list[tuple[int, int, AnyRecord]] = []
    offsets = count()
    for index, (record, feedback) in enumerate(pairs):
        while pending and pending[0][0] <= record.time:
            yield _numbered(heappop(pending)[2], next(offsets))
        yield record
        if feedback is not None:
            heappush(pending, (feedback.time, index, feedback))
    while pending:
        yield _numbered(heappop(pending)[2], next(offsets))


def feedback_on(record: AnyRecord, delay_ms: int, kind: Kind = "chargeback", verdict: Verdict = None) -> AnyRecord:
    """Return what becomes known about a transaction `delay_ms` after it."""
    about: Transaction = record.message
    time = about.event_time + timedelta(milliseconds=delay_ms)
    message = Feedback(event_time=time, tenant=about.tenant, about=about.event_id, kind=kind, verdict=verdict)
    return Record(FEEDBACK, message, message.event_id)


def _numbered(record: AnyRecord, offset: int) -> AnyRecord:
    return Record(record.topic, record.message, record.id, record.partition, offset)


Decoded = Iterable[tuple[Any, bool, bool]]
"""Of each row the message or BadMessage, whether it was fraud, and whether the row is wanted."""


def _as_they_are(path: Path, topic: AnyTopic, tokeniser: Tokeniser | None) -> Iterator[Decoded]:
    values = lines(path) if kind(path) == "json" else (encoded(rows.columns) for rows in read(path))
    for batch in values:
        yield ((message, False, True) for message in topic.decode_batch(batch, tokeniser))


def encoded(columns: dict[str, Sequence[Any]]) -> list[bytes]:
    """Return each row as a JSON object, without the columns it has nothing in."""
    names = tuple(columns)
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))
    if any(None in values for values in columns.values()):
        rows = ({name: value for name, value in row.items() if value is not None} for row in rows)
    return [orjson.dumps(row, default=str) for row in rows]


def _mapped(path: Path, topic: AnyTopic, mapping: Mapping, tokeniser: Tokeniser | None) -> Iterator[Decoded]:
    for rows in read(path):
        if kind(path) != "json":
            mapping.refuse_other_columns(list(rows.columns))
        decoded = topic.decode_batch(mapping.encode(rows), tokeniser)
        frauds = [False] * rows.count if mapping.label is None else mapping.label.among(rows)
        wanted = [True] * rows.count if mapping.only is None else mapping.only.among(rows)
        for index, bad in rows.refused.items():
            decoded[index], wanted[index] = bad, True
        yield zip(decoded, frauds, wanted, strict=True)


def _recorded(topic: AnyTopic, batches: Iterator[Decoded], refuse: Refuse) -> Iterator[tuple[AnyRecord, bool]]:
    for offset, (message, fraud, wanted) in enumerate(chain.from_iterable(batches)):
        if not wanted:
            continue
        if isinstance(message, BadMessage):
            refuse(offset, message)
        else:
            yield Record(topic, message, message.event_id, 0, offset), fraud


def _raise(row: int, bad: BadMessage) -> None:
    raise BadMessage(bad.reason, f"row {row}: {bad.detail}")
