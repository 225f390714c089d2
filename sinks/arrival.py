"""Waiting for values that are not there yet, at no cost to who writes them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

POLL_SECONDS = 0.002


@dataclass(slots=True)
class _Awaited:
    value: asyncio.Future[bytes] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    waiting: int = 0


class Arrivals:
    """Lets any number of readers wait for keys: one look at all of them every 2 ms, and none when nobody waits.

    `look` returns the value or None of each key; what it raises, all who wait get.
    """

    def __init__(self, look: Callable[[Sequence[str]], Coroutine[Any, Any, Sequence[bytes | None]]]) -> None:
        self._look = look
        self._awaited: dict[str, _Awaited] = {}
        self._looking: asyncio.Task[None] | None = None

    async def value(self, key: str, timeout_ms: int) -> bytes | None:
        """Return the value of `key` once it is there, or None when it is not within `timeout_ms`."""
        awaited = self._awaited.get(key) or self._awaited.setdefault(key, _Awaited())
        awaited.waiting += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_until_found())
        try:
            # Not wait_for: one future serves all who wait for the key, so a timeout of one must not cancel it.
            ended = (awaited.value, self._looking)
            await asyncio.wait(ended, timeout=timeout_ms / 1000, return_when=asyncio.FIRST_COMPLETED)
        finally:
            awaited.waiting -= 1
            if not awaited.waiting and self._awaited.get(key) is awaited:
                del self._awaited[key]
        if awaited.value.done():
            return awaited.value.result()
        if self._looking.done():
            self._looking.result()
        return None

    async def aclose(self) -> None:
        """Stop looking; those who wait get None."""
        self._awaited.clear()
        if self._looking is not None:
            await asyncio.wait((self._looking,))

    async def _look_until_found(self) -> None:
        while self._awaited:
            keys = list(self._awaited)
            for key, value in zip(keys, await self._look(keys), strict=True):
                if value is not None and (found := self._awaited.pop(key, None)):
                    found.value.set_result(value)
            await asyncio.sleep(POLL_SECONDS)
