"""CloudEvents 1.0 in Kafka's binary mode: the envelope is in the headers, the value is the message itself."""

import re
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache

import msgspec

from schemas.errors import BadMessage

Headers = list[tuple[str, bytes]]

VERSION = "1.0"
EPOCH = date(1970, 1, 1)
TYPE_PREFIX = "headrace."
SPECIFIED = ("ce_specversion", VERSION.encode())
JSON_CONTENT = ("content-type", b"application/json")
_STRUCTURED = re.compile(rb"\s*application/cloudevents", re.IGNORECASE)
_FIELDS = {
    "ce_id": "id",
    "ce_source": "source",
    "ce_type": "type",
    "ce_time": "time",
    "ce_tenant": "tenant",
    "ce_traceparent": "traceparent",
    "traceparent": "traceparent",
}


class Envelope(msgspec.Struct, frozen=True):
    """What the headers say about a message; None where they say nothing. `extensions` are all other attributes."""

    id: str | None = None
    source: str | None = None
    type: str | None = None
    time: str | None = None
    tenant: str | None = None
    traceparent: str | None = None
    extensions: dict[str, str] = {}

    def record_id(self, event_id: str) -> str:
        """Return the record's id: `source#id` where the envelope has one of its own, else the message's event id.

        >>> Envelope(id="7", source="/shop").record_id("e1")
        '/shop#7'
        >>> Envelope(id="e1", source="/shop").record_id("e1")
        'e1'
        """
        own = self.source is not None and self.id not in (None, event_id)
        return f"{self.source}#{self.id}" if own else event_id


NOTHING = Envelope()


def headers_of(record_id: str, topic: str, source: str, time_ms: int, tenant: str = "default") -> Headers:
    """Return the headers of a message that leaves headrace. `time_ms` is its event time since 1970 UTC.

    >>> dict(headers_of("tx-1", "transactions", "/files", 0))["ce_type"]
    b'headrace.transactions'
    """
    headers = [
        *_constant(topic, source),
        ("ce_id", record_id.encode()),
        ("ce_time", _rfc3339(time_ms)),
    ]
    return headers if tenant == "default" else [*headers, ("ce_tenant", tenant.encode())]


@lru_cache(1_024)
def _constant(topic: str, source: str) -> Headers:
    return [SPECIFIED, ("ce_source", source.encode()), ("ce_type", (TYPE_PREFIX + topic).encode()), JSON_CONTENT]


def _rfc3339(time_ms: int) -> bytes:
    day, rest = divmod(time_ms, 86_400_000)
    minutes, milliseconds = divmod(rest, 60_000)
    return b"%sT%02d:%02d:%02d.%03dZ" % (_date(day), *divmod(minutes, 60), *divmod(milliseconds, 1_000))


@lru_cache(1_024)
def _date(day: int) -> bytes:
    """Return a day, counted from 1970-01-01, as it stands before the T of RFC 3339."""
    return (EPOCH + timedelta(days=day)).isoformat().encode()


def read(headers: Iterable[tuple[str, bytes | None]] | None) -> Envelope:
    """Return what the headers say; a message without any is plain JSON and has an empty envelope.

    Raises BadMessage for structured mode, for another version of CloudEvents, for a missing `ce_id`, `ce_source` or
    `ce_type`, and for headers that are not UTF-8. Headers that are not CloudEvents' are passed over.
    """
    if not headers:
        return NOTHING
    found = {name.lower(): value for name, value in headers if value is not None}
    if _STRUCTURED.match(found.get("content-type", b"")):
        raise BadMessage("structured_mode", "the whole event is in the value: send CloudEvents in Kafka's binary mode")
    try:
        text = {name: value.decode() for name, value in found.items() if name.startswith("ce_") or name in _FIELDS}
    except UnicodeDecodeError as error:
        raise BadMessage("invalid_header", f"a CloudEvents header is not UTF-8: {error}") from None
    if "ce_specversion" in text:
        _refuse_incomplete(text)
    fields = {_FIELDS[name]: value for name, value in text.items() if name in _FIELDS}
    others = {name[3:]: value for name, value in text.items() if name not in _FIELDS and name != "ce_specversion"}
    return Envelope(**fields, extensions=others)


def _refuse_incomplete(text: dict[str, str]) -> None:
    if text["ce_specversion"] != VERSION:
        raise BadMessage("invalid_header", f"CloudEvents {text['ce_specversion']} is not read, only {VERSION}")
    missing = [name for name in ("ce_id", "ce_source", "ce_type") if not text.get(name)]
    if missing:
        raise BadMessage("invalid_header", f"CloudEvents {VERSION} needs {', '.join(missing)}")
