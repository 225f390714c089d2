"""Topic and Record: how a message is named, keyed, timed and put into bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from schemas.codec import Codec, codec_for
from schemas.errors import BadMessage
from schemas.privacy import Tokeniser

M = TypeVar("M")

DAY = 86_400_000
"""Milliseconds in a day; all times and spans inside headrace are integer milliseconds."""


@dataclass(frozen=True, eq=False, slots=True)
class Topic(Generic[M]):
    """A named stream of one message type, with the key that partitions it.

    `key` and `time` read the partition key (text) and the event time (milliseconds since 1970 UTC) off a message.
    A topic is equal only to itself: each is one constant. `compacted` topics keep the last message of each key and
    can be read as tables; of these `retention_ms` says how long every other message is kept, too, for who replays.
    """

    name: str
    model: type[M]
    key: Callable[[M], str]
    time: Callable[[M], int]
    partitions: int = 4
    retention_ms: int = 7 * DAY
    compacted: bool = False
    lateness_ms: int = 0
    internal: bool = False
    version: int = 1
    codec: Codec[M] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "codec", codec_for(self.model))

    def __repr__(self) -> str:
        return f"Topic({self.name!r})"

    def encode(self, message: M) -> bytes:
        """Return the message as JSON bytes."""
        return self.codec.encode(message)

    def decode(self, value: bytes | None, tokeniser: Tokeniser | None = None) -> M:
        """Return the message in `value`. Raises BadMessage, which names the reason."""
        return self.codec.decode(value, tokeniser)

    def decode_batch(self, values: Sequence[bytes | None], tokeniser: Tokeniser | None = None) -> list[M | BadMessage]:
        """Return one message, or one BadMessage, for each of `values`: a bad one costs only itself."""
        return self.codec.decode_batch(values, tokeniser)


class Record(msgspec.Struct, Generic[M], frozen=True):
    """One message on its way: what it is, who caused it and where it came from.

    `id` is the event's own id, or "cause>processor.n" for the nth thing a processor said because of `cause`; it is the
    same live, replayed, backfilled and after a repartition. `watermark` (milliseconds) promises that the partition
    which said this has seen all older events; None for records from outside, whose time is their own promise.
    """

    topic: Topic[M]
    message: M
    id: str
    partition: int = 0
    offset: int = -1
    source: int = 0
    watermark: int | None = None

    @property
    def key(self) -> str:
        """The partition key of the message."""
        return self.topic.key(self.message)

    @property
    def time(self) -> int:
        """The event time of the message, in milliseconds since 1970 UTC."""
        return self.topic.time(self.message)


class Due(msgspec.Struct, frozen=True):
    """The message a processor gets once the watermark has passed its state's `due` time (milliseconds)."""

    key: str
    at: int


DUE: Topic[Due] = Topic("due", Due, key=lambda due: due.key, time=lambda due: due.at, internal=True)


AnyRecord = Record[Any]
AnyTopic = Topic[Any]
