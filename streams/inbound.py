"""The edge: raw Kafka records become messages with an id, a time and an origin, or dead letters with a reason."""

from base64 import b64encode
from collections.abc import Collection, Sequence
from importlib.metadata import version
from typing import Any, Protocol

import msgspec

from schemas.cloudevents import read as envelope
from schemas.errors import BadMessage
from schemas.events import Event
from schemas.privacy import Tokeniser
from schemas.records import AnyRecord, AnyTopic, Record
from schemas.results import DeadLetter
from schemas.topics import DEAD_LETTERS
from streams.outbox import Origin, origin
from streams.sealing import Seal

CODE_VERSION = version("headrace")
KILLED = BadMessage("killed_the_worker", "more than one worker died while it stepped this record alone")


class Raw(Protocol):
    """A record as a Kafka client gives it: `timestamp` in milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """One record that was read: what it is (or the dead letter it became), and what it repeats if it was said twice.

    `key` and `time` (milliseconds) are the record's own.
    """

    topic: AnyTopic
    offset: int
    time: int
    record: AnyRecord
    origin: Origin | None
    key: str

    @property
    def bad(self) -> bool:
        """Whether this is a dead letter."""
        return self.record.topic is DEAD_LETTERS

    @property
    def quarantined(self) -> bool:
        """Whether it became a dead letter because workers died of it."""
        return self.bad and self.record.message.reason == KILLED.reason


def is_told(item: Inbound, first_of: Collection[AnyTopic], tables: Collection[AnyTopic]) -> bool:
    """Return whether a reader says what is bad: as the first of its topic, but not what removes a table's entry.

    What workers died of says the one that would not step it.
    """
    if item.quarantined:
        return True
    tombstone = isinstance(item.record.message, DeadLetter) and item.record.message.reason == "tombstone"
    return item.topic in first_of and not (tombstone and item.topic in tables)


class Edge:
    """Decodes the records of a partition: tokenises personal data and seals what cannot be used."""

    def __init__(self, tokeniser: Tokeniser, seal: Seal) -> None:
        self._tokeniser = tokeniser
        self._seal = seal

    def admit(
        self, topic: AnyTopic, partition: int, raws: Sequence[Raw], deadly: Collection[int] = ()
    ) -> list[Inbound]:
        """Return each raw record as an inbound one; those at `deadly` offsets as dead letters, whatever is in them.

        Never raises for what is in them.
        """
        decoded = topic.decode_batch([None if raw.offset in deadly else raw.value for raw in raws], self._tokeniser)
        # What an app publishes is never taken for our own, whatever its headers claim.
        place = self._published if issubclass(topic.model, Event) else self._said
        admitted = []
        for raw, message in zip(raws, decoded, strict=True):
            try:
                if raw.offset in deadly:
                    raise KILLED
                if isinstance(message, BadMessage):
                    raise message
                admitted.append(place(topic, partition, raw, message))
            except BadMessage as bad:
                admitted.append(self._dead(topic, partition, raw, bad))
        return admitted

    def _published(self, topic: AnyTopic, partition: int, raw: Raw, message: Any) -> Inbound:
        identity = message.event_id
        if raw.headers:
            identity = envelope(raw.headers).record_id(identity)
        record: AnyRecord = Record(topic, message, identity, partition, raw.offset)
        return Inbound(topic, raw.offset, topic.time(message), record, None, topic.key(message))

    def _said(self, topic: AnyTopic, partition: int, raw: Raw, message: Any) -> Inbound:
        try:
            said = origin(raw.headers or ())
            source = 0 if said is None else said.source()
        except ValueError as error:
            raise BadMessage("bad_header", f"the headers say: {error}") from None
        if said is None:
            return self._published(topic, partition, raw, message)
        record: AnyRecord = Record(topic, message, said.id, partition, raw.offset, source, said.watermark)
        return Inbound(topic, raw.offset, topic.time(message), record, said, topic.key(message))

    def _dead(self, topic: AnyTopic, partition: int, raw: Raw, bad: BadMessage) -> Inbound:
        letter = DeadLetter(
            event_id=f"{topic.name}/{partition}/{raw.offset}",
            event_time=raw.timestamp,
            reason=bad.reason,
            detail=bad.detail,
            topic=topic.name,
            partition=partition,
            offset=raw.offset,
            value=self._sealed(raw.value) or "",
            key=self._sealed(raw.key),
            headers=tuple((name, self._sealed(value) or "") for name, value in raw.headers or ()),
            code_version=CODE_VERSION,
        )
        record: AnyRecord = Record(DEAD_LETTERS, letter, f"{letter.event_id}>edge.0", partition, raw.offset)
        return Inbound(topic, raw.offset, -1, record, None, letter.event_id)

    def _sealed(self, plain: bytes | None) -> str | None:
        return None if plain is None else b64encode(self._seal.close(plain)).decode()
