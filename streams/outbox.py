"""The outbox: what a batch said, byte for byte, as it is stored with the batch and then produced."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

import msgspec

from schemas.records import AnyRecord

HEADER = "headrace"
"""The header by which headrace knows its own records: an Origin as a JSON list."""

Headers = list[tuple[str, bytes]]


Whole = Annotated[int, msgspec.Meta(ge=-1, le=2**63 - 1)]


class Outbound(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One record on its way out. `watermark` is its task's, in milliseconds."""

    topic: str
    key: str
    value: bytes
    id: str
    watermark: int
    time: int
    internal: bool


class Origin(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a record of ours was said: as number `n` of a task's commit `sequence`, under its watermark."""

    task: str
    sequence: Whole
    n: Whole
    watermark: Whole
    id: str

    def source(self) -> int:
        """Return the partition of the task. Raises ValueError when its name has none."""
        return _partition(self.task)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Outbound])
_origin_encoder = msgspec.json.Encoder()
_origin_decoder = msgspec.json.Decoder(Origin)


def outbound(record: AnyRecord, value: bytes) -> Outbound:
    """Return a said record, whose message is `value` in bytes, as it goes out."""
    topic = record.topic
    return Outbound(
        topic.name,
        topic.key(record.message),
        value,
        record.id,
        -1 if record.watermark is None else record.watermark,
        topic.time(record.message),
        topic.internal,
    )


def pack(said: Sequence[Outbound]) -> bytes:
    """Return the outbox as bytes."""
    return _encoder.encode(said)


def unpack(outbox: bytes) -> list[Outbound]:
    """Return what is in an outbox; nothing for no bytes."""
    return _decoder.decode(outbox) if outbox else []


def origin_header(task: str, sequence: int, n: int, said: Outbound) -> tuple[str, bytes]:
    """Return the header that tells where a record was said."""
    return HEADER, _origin_encoder.encode(Origin(task, sequence, n, said.watermark, said.id))


def origin(headers: Sequence[tuple[str, bytes | None]]) -> Origin | None:
    """Return where a record was said, or None when it is not one of ours. Raises ValueError for a broken header.

    >>> origin([("headrace", b'["fraud/3",7,0,1000,"tx-1>features.0>fraud.0"]')]).task
    'fraud/3'
    """
    for name, value in headers:
        if name == HEADER:
            try:
                return _origin_decoder.decode(value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ValueError(f"{HEADER}: {error}") from None
    return None


@lru_cache(4_096)
def _partition(task: str) -> int:
    return int(task.rpartition("/")[2])
