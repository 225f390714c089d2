"""What waits before the pipeline: since when the log holds records that no answer can know of yet."""

from asyncio import sleep
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol

from api.answers import Lag
from sinks.base import SinkBusy

LOOK_SECONDS = 0.25
TRUSTED_MS = 2_000
"""How long a look at the log tells anything."""

MOST_STRETCHES = 512


class Reading(NamedTuple):
    """A partition that a processor reads."""

    processor: str
    topic: str
    partition: int


class Place(NamedTuple):
    """The first offset that a processor's checkpoint lacks, and the end of the partition."""

    next: int
    end: int


class Log(Protocol):
    """Tells how far each processor has read the log."""

    async def places(self) -> Mapping[Reading, Place]:
        """Return the place of every processor in each partition that it reads. Raises SinkBusy where it cannot tell."""
        ...


class Backlog:
    """Follows what waits for each processor, by looks at the log and by `now` (milliseconds since 1970 UTC).

    A record has waited since the first look that saw it: what the very first look finds has waited since then.
    """

    def __init__(self, log: Log, now: Callable[[], int]) -> None:
        self._log = log
        self._now = now
        self._looked_at: int | None = None
        self._waiting: dict[Reading, _Waiting] = {}

    async def watch(self) -> None:
        """Look a few times a second, until cancelled."""
        while True:
            with suppress(SinkBusy):
                await self.look()
            await sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Look once. Raises SinkBusy."""
        places, now = await self._log.places(), self._now()
        for reading, place in places.items():
            self._waiting.setdefault(reading, _Waiting()).see(place, now)
        self._looked_at = now

    def lag(self, processors: Collection[str]) -> Lag | None:
        """Return what waits for any of these processors; None when the last look is too old to tell, or knew none."""
        now = self._now()
        if self._looked_at is None or now - self._looked_at > TRUSTED_MS:
            return None
        found = [waiting for reading, waiting in self._waiting.items() if reading.processor in processors]
        if not found:
            return None
        since = min((each.since for each in found if each.since is not None), default=now)
        return Lag(max(0, now - since), sum(each.records for each in found))


class _Waiting:
    """When the end of a partition was seen where, as far as a processor has not come yet."""

    def __init__(self) -> None:
        self.records = 0
        self._seen: deque[tuple[int, int]] = deque()

    @property
    def since(self) -> int | None:
        """When the oldest record that waits was first seen; None when none waits."""
        return self._seen[0][0] if self._seen else None

    def see(self, place: Place, now: int) -> None:
        self.records = max(0, place.end - place.next)
        if self._seen and self._seen[-1][1] > place.end:
            self._seen.clear()  # the topic was made anew
        if not self._seen or place.end > self._seen[-1][1]:
            self._seen.append((now, place.end))
        while self._seen and self._seen[0][1] <= place.next:
            self._seen.popleft()
        if len(self._seen) > MOST_STRETCHES:
            self._seen = deque(_halved(list(self._seen)))


def _halved(seen: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return every two neighbours as one, which was seen when the first of them was.

    >>> _halved([(1, 10), (2, 20), (3, 30)])
    [(1, 20), (3, 30)]
    """
    return [(seen[n][0], seen[min(n + 1, len(seen) - 1)][1]) for n in range(0, len(seen), 2)]
