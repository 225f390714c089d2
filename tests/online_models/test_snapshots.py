from __future__ import annotations

import hashlib

import pytest

from online_models.snapshots import BadSignature, digest, sign, verify

KEY = b"k" * 32
BLOB = b"weights"


def test_what_was_signed_is_verified():
    assert verify(sign(BLOB, KEY), KEY) == BLOB


def test_the_digest_is_sha256():
    assert digest(BLOB) == hashlib.sha256(BLOB).hexdigest()


@pytest.mark.parametrize("place", range(len(sign(BLOB, KEY))))
def test_a_changed_byte_anywhere_is_refused(place):
    signed = bytearray(sign(BLOB, KEY))
    signed[place] ^= 1
    with pytest.raises(BadSignature):
        verify(bytes(signed), KEY)


def test_another_key_is_refused_and_the_error_names_the_digest():
    with pytest.raises(BadSignature, match=digest(BLOB)):
        verify(sign(BLOB, KEY), b"another key")


@pytest.mark.parametrize("signed", [b"", BLOB, sign(BLOB, KEY)[:20], sign(BLOB, KEY)[:-1]])
def test_bytes_cut_short_or_never_signed_are_refused(signed):
    with pytest.raises(BadSignature):
        verify(signed, KEY)


def test_an_empty_key_signs_nothing():
    with pytest.raises(ValueError, match="key is empty"):
        sign(BLOB, b"")
