"""Sealing: the bytes of dead letters may hold anything, so they rest encrypted."""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV


class SealBroken(ValueError):
    """Sealed bytes were not sealed with this key, or were changed since."""


class Seal:
    """Encrypts bytes by AES-SIV under a key: equal bytes give equal seals, so a repeated letter is the same letter."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESSIV(hashlib.sha512(key).digest())

    def close(self, plain: bytes) -> bytes:
        """Return the bytes, encrypted."""
        return self._cipher.encrypt(plain or b"\0", [b"empty"] if not plain else None)

    def open(self, sealed: bytes) -> bytes:
        """Return what was sealed. Raises SealBroken."""
        for extra, empty in ((None, False), ([b"empty"], True)):
            try:
                opened = self._cipher.decrypt(sealed, extra)
            except InvalidTag:
                continue
            return b"" if empty else opened
        raise SealBroken("these bytes were not sealed with this secret: set the HEADRACE_SECRET they were sealed with")
