"""A task's states in memory: read through from the store, bounded, and empty after every claim."""

from collections.abc import Iterable
from typing import Any

from processors.base import AnyProcessor
from sinks.store import Store
from streams.state_codec import state_codec


class StateCache:
    """Some of the states of one task; all of them rest in the store.

    A key without state is asked for again and again: that it has none is not remembered.
    """

    def __init__(self, processor: AnyProcessor, task: str, store: Store, most: int) -> None:
        self.states: dict[str, Any] = {}
        self._task = task
        self._store = store
        self._most = most
        self._codec = state_codec(processor)

    async def load(self, keys: Iterable[str]) -> None:
        """Read those of the keys that are not here. Raises SinkBusy."""
        missing = [key for key in keys if key not in self.states]
        if not missing:
            return
        blobs = await self._store.load(self._task, missing)
        for key, blob in zip(missing, blobs, strict=True):
            if blob is not None:
                self.states[key] = self._codec.decode(blob)

    def encoded(self, keys: Iterable[str]) -> dict[str, bytes | None]:
        """Return the states of keys as bytes; None where a key has no state any more."""
        states, encode = self.states, self._codec.encode
        return {key: encode(states[key]) if key in states else None for key in keys}

    def evict(self) -> None:
        """Forget the oldest of what is too much. To be called when all that has changed is in the store."""
        spare = len(self.states) - self._most
        if spare > 0:
            for key in [key for _, key in zip(range(spare), self.states, strict=False)]:
                del self.states[key]
