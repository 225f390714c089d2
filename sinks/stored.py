"""Values for readers, looked up in Redis by their key: how all kinds of results are read."""

from collections.abc import Awaitable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from sinks.arrival import Arrivals
from sinks.connection import Values, busy_when_away

ORDER_DIGITS = 26
"""How many digits stand before a newest value: its order, see `serving.stamped`."""


class Stored:
    """Looks values up. Every method raises SinkBusy while Redis is away."""

    def __init__(self, client: Values) -> None:
        self._client = client
        self._arrivals = Arrivals(lambda keys: _answer(client.mget(keys)))

    async def value(self, key: str) -> bytes | None:
        """Return the value of a key."""
        value: bytes | None = await _answer(self._client.get(key))
        return value

    async def newest(self, key: str) -> bytes | None:
        """Return the value of a key that holds an order before it."""
        return _unordered(await self.value(key))

    async def members(self, key: str) -> Mapping[str, bytes]:
        """Return the values of a hash by field, each held behind its order."""
        found = await self.fields(key)
        return {field.decode(): value[ORDER_DIGITS:] for field, value in sorted(found.items())}

    async def fields(self, key: str) -> Mapping[bytes, bytes]:
        """Return the fields of a hash as they are."""
        found: Mapping[bytes, bytes] = await _answer(self._client.hgetall(key))
        return found

    async def awaited(self, key: str, timeout_ms: int) -> bytes | None:
        """Return the value of a key as soon as it is there; None when it is not within `timeout_ms`."""
        return await self._arrivals.value(key, timeout_ms)

    async def newest_awaited(self, key: str, timeout_ms: int) -> bytes | None:
        """Return what `awaited` does, of a key that holds an order before its value."""
        return _unordered(await self.awaited(key, timeout_ms))

    async def aclose(self) -> None:
        """Close the client; whoever still waits is told None."""
        await self._arrivals.aclose()
        await self._client.aclose()


@lru_cache(4096)
def prefix(tenant: str) -> str:
    """Return what all keys of a tenant start with.

    >>> prefix("a:b")
    'hr:a%3Ab'
    """
    return f"hr:{quote(tenant, safe='')}"


def _unordered(value: bytes | None) -> bytes | None:
    return value and value[ORDER_DIGITS:]


async def _answer(question: Awaitable[Any]) -> Any:
    with busy_when_away():
        return await question
