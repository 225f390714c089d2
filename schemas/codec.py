"""JSON bytes to messages and back: pydantic for what strangers send, msgspec for what headrace says itself."""

import re
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError

from schemas.errors import BadMessage
from schemas.privacy import Tokeniser, personal_fields

M = TypeVar("M")
MAX_BYTES = 1_048_576
"""A message larger than this is refused: nothing an app publishes to us is a megabyte of JSON."""

MAX_DEPTH = 32
"""JSON nested deeper than this is refused."""

_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_LISTS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Codec(Protocol[M]):
    """Puts messages of one type into JSON bytes and takes them out again."""

    def encode(self, message: M) -> bytes:
        """Return the message as JSON bytes."""
        ...

    def decode(self, value: bytes | None, tokeniser: Tokeniser | None = None) -> M:
        """Return the message in `value`. Raises BadMessage."""
        ...

    def decode_batch(self, values: Sequence[bytes | None], tokeniser: Tokeniser | None = None) -> list[M | BadMessage]:
        """Return a message or a BadMessage for each of `values`."""
        ...


def codec_for(model: type[M]) -> Codec[M]:
    """Return the codec of a message type: pydantic models and msgspec structs have one."""
    if issubclass(model, BaseModel):
        return PydanticCodec(model)
    return StructCodec(model)


class PydanticCodec(Generic[M]):
    """Validates a batch in one call; around a bad message it halves the batch until the bad one stands alone."""

    def __init__(self, model: type[M]) -> None:
        self._one: TypeAdapter[M] = TypeAdapter(model)
        self._many: TypeAdapter[list[M]] = TypeAdapter(list[model])  # type: ignore[valid-type]
        self._personal = frozenset(personal_fields(model)) if issubclass(model, BaseModel) else frozenset()

    def encode(self, message: M) -> bytes:
        """Return the message as JSON bytes, without the fields nobody set."""
        return self._one.dump_json(message, exclude_unset=True)

    def decode(self, value: bytes | None, tokeniser: Tokeniser | None = None) -> M:
        """Return the message in `value`. Raises BadMessage."""
        refuse_unreadable(value)
        try:
            return self._one.validate_json(value, context=tokeniser)  # type: ignore[arg-type]
        except ValidationError as error:
            raise explained(error, self._personal) from None

    def decode_batch(self, values: Sequence[bytes | None], tokeniser: Tokeniser | None = None) -> list[M | BadMessage]:
        """Return a message or a BadMessage for each of `values`."""
        if len(values) <= 1:
            return [self._attempt(value, tokeniser) for value in values]
        together = joined(values)
        if together is not None:
            try:
                found = self._many.validate_json(together, context=tokeniser)
            except ValidationError:
                pass
            else:
                if len(found) == len(values):
                    return list(found)
        half = len(values) // 2
        return self.decode_batch(values[:half], tokeniser) + self.decode_batch(values[half:], tokeniser)

    def _attempt(self, value: bytes | None, tokeniser: Tokeniser | None) -> M | BadMessage:
        try:
            return self.decode(value, tokeniser)
        except BadMessage as bad:
            return bad


class StructCodec(Generic[M]):
    """Encodes and decodes msgspec structs; they come from headrace itself, so a bad one is rare."""

    def __init__(self, model: type[M]) -> None:
        self._decoder = msgspec.json.Decoder(model)
        self._encoder = msgspec.json.Encoder()

    def encode(self, message: M) -> bytes:
        """Return the message as JSON bytes."""
        return self._encoder.encode(message)

    def decode(self, value: bytes | None, tokeniser: Tokeniser | None = None) -> M:
        """Return the message in `value`. Raises BadMessage."""
        if value is None:
            raise BadMessage("tombstone", "the value is null; only compacted topics may delete a key")
        try:
            return self._decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadMessage("invalid", str(error)) from None

    def decode_batch(self, values: Sequence[bytes | None], tokeniser: Tokeniser | None = None) -> list[M | BadMessage]:
        """Return a message or a BadMessage for each of `values`."""
        decoded: list[M | BadMessage] = []
        for value in values:
            try:
                decoded.append(self.decode(value, tokeniser))
            except BadMessage as bad:
                decoded.append(bad)
        return decoded


def joined(values: Sequence[bytes | None]) -> bytes | None:
    """Return the values as one JSON list, or None where that could read as other values than these.

    If the list parses and has as many objects as there are values, each value is one object by itself. For a carriage
    return cannot stand in a JSON string, so no value ends inside a string; every value begins with a brace, which
    cannot follow a comma inside an object; and no value opens a list. So every value ends between two objects.

    >>> joined([b'{"a":1}', b'{"b":2}'])
    b'[{"a":1},\\r{"b":2}]'
    >>> joined([b'{"a":"', b'"}', b'{},{}'])
    """
    try:
        together = b"[" + b",\r".join(values) + b"]"  # type: ignore[arg-type]
    except TypeError:
        return None
    seams = len(values) - 1
    alone = (
        together.startswith(b"[{")
        and together.count(b",\r{") == together.count(b"\r") == seams
        and together.count(b"[") == 1
        and together.count(b"{") <= seams + MAX_DEPTH
    )
    return together if alone and len(max(values, key=len)) <= MAX_BYTES else None  # type: ignore[arg-type]


def refuse_unreadable(value: bytes | None) -> None:
    """Raise BadMessage for what no JSON parser needs to see: a null, an empty, a huge or a deeply nested value."""
    if value is None:
        raise BadMessage("tombstone", "the value is null; only compacted topics may delete a key")
    if not value.strip():
        raise BadMessage("empty", "the value has no bytes")
    if len(value) > MAX_BYTES:
        raise BadMessage("too_large", f"{len(value):,} bytes; at most {MAX_BYTES:,} are taken")
    if depth(value) > MAX_DEPTH:
        raise BadMessage("too_deep", f"nested deeper than {MAX_DEPTH} levels")


def depth(value: bytes) -> int:
    """Return how deeply the JSON in `value` nests, without parsing it; beyond MAX_DEPTH any larger number.

    >>> depth(b'{"a": [1, [2]], "b": "[[[["}')
    3
    """
    if value.count(b"{") + value.count(b"[") <= 1:
        return value.count(b"{") + value.count(b"[")
    brackets = _TEXT.sub(b"", value).translate(_LISTS, _NO_BRACKETS)
    for level in range(MAX_DEPTH + 1):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            return level + inner.count(b"[")
        brackets = inner
    return MAX_DEPTH + 1


def explained(error: ValidationError, personal: frozenset[str]) -> BadMessage:
    """Return the first complaint of a validation as a BadMessage that names field and value.

    Values of personal fields, and those that may hold some, are not shown: the message's bytes rest encrypted.
    """
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, BadMessage):
        return cause
    where = ".".join(str(part) for part in first["loc"]) or "message"
    reason = {"json_invalid": "not_json", "missing": "missing_field"}.get(first["type"], "invalid_field")
    value = first.get("input")
    hidden = reason == "not_json" or not first["loc"] or first["loc"][0] in personal or isinstance(value, (list, dict))
    shown = "" if hidden else f" (got {str(value)[:80]!r})"
    return BadMessage(
        reason, f"{where}: {first['msg']}{shown}" if reason != "missing_field" else f"{where} is required"
    )
