"""The outbox: what a batch said, byte for byte, as it is stored with the batch and then produced."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from schemas.records import AnyRecord

HEADER = "headrace"
"""The header by which headrace knows its own records: task, sequence, number, watermark, id."""

Headers = list[tuple[str, bytes]]


class Outbound(msgspec.Struct, frozen=True, array_like=True):
    """One record on its way out. `watermark` is its task's, in milliseconds."""

    topic: str
    key: str
    value: bytes
    id: str
    watermark: int
    time: int
    internal: bool


class Origin(NamedTuple):
    """Where a record of ours was said: as number `n` of a task's commit `sequence`."""

    task: str
    sequence: int
    n: int
    watermark: int
    id: str


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Outbound])


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
    return HEADER, f"{task}|{sequence}|{n}|{said.watermark}|{said.id}".encode()


def origin(headers: Sequence[tuple[str, bytes | None]]) -> Origin | None:
    """Return where a record was said, or None when it is not one of ours. Raises ValueError for a broken header.

    >>> origin([("headrace", b"fraud/3|7|0|1000|tx-1>features.0>fraud.0")]).task
    'fraud/3'
    """
    for name, value in headers:
        if name == HEADER:
            task, sequence, n, watermark, identity = (value or b"").decode().split("|", 4)
            return Origin(task, _whole(sequence), _whole(n), _whole(watermark), identity)
    return None


def _whole(text: str) -> int:
    number = int(text)
    if number.bit_length() > 63:
        raise ValueError(f"{text[:20]} has more than 63 bits")
    return number
