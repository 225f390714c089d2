"""How fresh results are: when the pipeline last committed."""

from collections.abc import Callable, Mapping

from api.answers import Ages
from sinks.base import Progress, ResultReader

REMEMBERED_MS = 250
"""How long a look at the pipeline's progress serves further answers."""


class Freshness:
    """Tells how old answers are, by `now` (milliseconds since 1970 UTC). Raises SinkBusy while results are away."""

    def __init__(self, reader: ResultReader, now: Callable[[], int], stale_after_ms: int) -> None:
        self._reader = reader
        self._now = now
        self._stale_after_ms = stale_after_ms
        self._looked_at: int | None = None
        self._progress: Mapping[str, Progress] = {}

    async def ages(self, event_time: int) -> Ages:
        """Return the ages of an answer about an event of that time."""
        progress, now = await self.progress(), self._now()
        slowest = min((each.committed_at for each in progress.values()), default=None)
        return Ages(now - event_time, None if slowest is None else max(0, now - slowest))

    def is_stale(self, ages: Ages) -> bool:
        """Return whether the slowest processor has not committed lately, or none ever did."""
        return ages.commit_ms is None or ages.commit_ms > self._stale_after_ms

    async def progress(self) -> Mapping[str, Progress]:
        """Return how far each processor has come, at most REMEMBERED_MS ago."""
        now = self._now()
        if self._looked_at is None or not 0 <= now - self._looked_at < REMEMBERED_MS:
            self._progress = await self._reader.progress()
            self._looked_at = now
        return self._progress
