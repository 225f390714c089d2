"""Personal data: which fields hold it, and the tokens that stand in for it."""

import hashlib
import hmac
from base64 import b32encode
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ValidationInfo

PREFIX = "tok_"


class PersonalTag(str):
    """Marks a field as personal data of a kind, such as "card" or "ip"."""

    __slots__ = ()


class Tokeniser:
    """Turns personal values into tokens: HMAC-SHA256 under a versioned key, so equal values stay equal.

    A token reads `tok_<key version>_<26 characters>`; a token given back is returned as it is.

    >>> Tokeniser({"1": b"secret"}).token("4111 1111") == Tokeniser({"1": b"secret"}).token("4111 1111")
    True
    """

    def __init__(self, keys: dict[str, bytes], current: str = "1", remembered: int = 200_000) -> None:
        if current not in keys:
            raise ValueError(f"token key version {current!r} is not among {sorted(keys)}: add it to the keys")
        self.current = current
        self._key = keys[current]
        self.token = lru_cache(remembered)(self._token)

    def _token(self, value: str) -> str:
        if value.startswith(PREFIX):
            return value
        digest = hmac.digest(self._key, value.encode(), hashlib.sha256)[:16]
        return f"{PREFIX}{self.current}_{b32encode(digest).decode().rstrip('=').lower()}"


def tokenised(value: str, info: ValidationInfo) -> str:
    """Return the token of a personal value when the decoder was given a Tokeniser, else the value."""
    return info.context.token(value) if info.context is not None else value


CardNumber = Annotated[str, AfterValidator(tokenised), PersonalTag("card")]
DeviceId = Annotated[str, AfterValidator(tokenised), PersonalTag("device")]
IpAddress = Annotated[str, AfterValidator(tokenised), PersonalTag("ip")]
ContactAddress = Annotated[str, AfterValidator(tokenised), PersonalTag("contact")]


def personal_fields(model: type[BaseModel]) -> dict[str, str]:
    """Return the personal fields of a message type and the kind of each."""
    return {name: tag for name, info in model.model_fields.items() if (tag := _tag(info.metadata, info.annotation))}


def _tag(metadata: list[Any], annotation: Any) -> str | None:
    inner = [item for part in getattr(annotation, "__args__", ()) for item in getattr(part, "__metadata__", ())]
    return next((str(item) for item in [*metadata, *inner] if isinstance(item, PersonalTag)), None)
