"""The bytes of a model: their digest, their signature, and nothing opened before the signature holds."""

from __future__ import annotations

import hashlib
import hmac
from typing import Protocol, TypeVar

import msgspec

HEADER = b"headrace-hmac-sha256\n"
SIGNATURE_BYTES = 32


class BadSignature(ValueError):
    """A blob was not signed with this key, or was changed since."""


def digest(blob: bytes) -> str:
    """Return the SHA-256 of a blob, 64 hexadecimal digits."""
    return hashlib.sha256(blob).hexdigest()


def sign(blob: bytes, key: bytes) -> bytes:
    """Return the blob behind a header and its HMAC-SHA256; `ValueError` when the key is empty."""
    return HEADER + _signature(blob, key) + blob


def verify(signed: bytes, key: bytes) -> bytes:
    """Return the blob of `sign`; `BadSignature` names its digest unless it was signed with this key."""
    start = len(HEADER) + SIGNATURE_BYTES
    head, blob = signed[:start], signed[start:]
    if not hmac.compare_digest(head, HEADER + _signature(blob, key)):
        raise BadSignature(f"snapshot {digest(blob)} is not signed with this key: publish it again or fix the key")
    return blob


def _signature(blob: bytes, key: bytes) -> bytes:
    if not key:
        raise ValueError("the signing key is empty")
    return hmac.digest(key, HEADER + blob, hashlib.sha256)


class OfFeatures(Protocol):
    """A snapshot that says which features it was learned on."""

    @property
    def features(self) -> tuple[str, ...]: ...


S = TypeVar("S", bound=OfFeatures)


def decoded(blob: bytes, kind: type[S], features: tuple[str, ...]) -> S:
    """Return a MessagePack snapshot; `ValueError` when it is of another model or of other features."""
    try:
        snapshot = msgspec.msgpack.decode(blob, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a snapshot of this model: {error}") from error
    if snapshot.features != features:
        raise ValueError(f"snapshot is of features {snapshot.features}, this model has {features}")
    return snapshot
