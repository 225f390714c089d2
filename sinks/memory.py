"""Twins of the stores in memory, for tests and for the in-process engine."""

from collections.abc import Sequence
from typing import Any

from schemas.records import AnyTopic
from schemas.topics import ALL, BY_NAME
from sinks.base import Encoded, refuse_foreign
from sinks.stored import ORDER_DIGITS


class MemoryValues:
    """The part of Redis that serving needs, in a dict: give it to Reader, ServingSink and apply. Nothing expires."""

    def __init__(self) -> None:
        self._strings: dict[str, bytes] = {}
        self._hashes: dict[str, dict[bytes, bytes]] = {}

    async def eval(self, _script: str, numkeys: int, /, *keys_and_args: Any) -> None:
        """Do what `serving.SCRIPT` does."""
        keys, arguments = keys_and_args[:numkeys], iter(keys_and_args[numkeys:])
        for key, (_ttl, newest, field, value) in zip(
            keys, zip(arguments, arguments, arguments, arguments, strict=True), strict=True
        ):
            place: dict[Any, bytes] = self._hashes.setdefault(key, {}) if field else self._strings
            name = field.encode() if field else key
            if newest == "0" or place.get(name, b"")[:ORDER_DIGITS] <= value[:ORDER_DIGITS]:
                place[name] = value

    async def get(self, key: str, /) -> bytes | None:
        """Return the value of a key, or None."""
        return self._strings.get(key)

    async def mget(self, keys: Sequence[str], /) -> list[bytes | None]:
        """Return the value, or None, of each key."""
        return [self._strings.get(key) for key in keys]

    async def hgetall(self, key: str, /) -> dict[bytes, bytes]:
        """Return the fields and values of a hash; none for an unknown key."""
        return dict(self._hashes.get(key, {}))

    async def hset(self, key: str, field: str, value: bytes, /) -> None:
        """Set one field of a hash."""
        self._hashes.setdefault(key, {})[field.encode()] = value

    async def aclose(self) -> None:
        """Close nothing."""

    def contents(self) -> dict[str, bytes | dict[bytes, bytes]]:
        """Return every key and what it holds."""
        return {**self._strings, **{key: dict(fields) for key, fields in self._hashes.items()}}


class MemorySink:
    """Keeps the newest message of each id and topic, as the analytics tables do."""

    def __init__(self, inputs: Sequence[AnyTopic] = ALL) -> None:
        self.inputs = tuple(inputs)
        self._rows: dict[tuple[str, str, str], tuple[int, bytes]] = {}

    async def write(self, records: Sequence[Encoded]) -> None:
        """Keep the records. Raises BadMessage for bytes that are no message, ValueError for a foreign topic."""
        refuse_foreign(self, records)
        for at, row in [_row(record) for record in records]:
            self._rows[at] = max(row, self._rows.get(at, row))

    def rows(self, topic: AnyTopic) -> list[bytes]:
        """Return the messages kept of a topic, by id."""
        return [value for (name, *_), (_, value) in sorted(self._rows.items()) if name == topic.name]


def _row(record: Encoded) -> tuple[tuple[str, str, str], tuple[int, bytes]]:
    topic = BY_NAME[record.topic]
    message = topic.decode(record.value)
    return (record.topic, message.tenant, message.event_id), (topic.time(message), record.value)
