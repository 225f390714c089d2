"""How fresh results are: when the pipeline last committed."""

from collections.abc import Callable, Mapping

from api.answers import Ages
from sinks.base import Progress, ResultReader

MADE_BY: Mapping[str, frozenset[str]] = {
    "score": frozenset({"features", "fraud"}),
    "features": frozenset({"features"}),
    "models": frozenset({"learning"}),
    "ranking": frozenset({"offers"}),
    "usage": frozenset({"offers", "offer-usage"}),
    "rankers": frozenset({"offer-learning"}),
}
"""The processors that each part of an answer comes from: that nothing was learned lately makes no score stale."""

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

    async def ages(self, event_time: int, part: str = "") -> Ages:
        """Return the ages of an answer about an event of that time: of all processors where nobody is known for `part`.

        The commit is that of the slowest of them.
        """
        progress, now = await self.progress(), self._now()
        makers = MADE_BY.get(part, frozenset()) & progress.keys() or progress.keys()
        slowest = min((progress[name].committed_at for name in makers), default=None)
        return Ages(now - event_time, None if slowest is None else max(0, now - slowest))

    def is_stale(self, ages: Ages) -> bool:
        """Return whether that commit was not lately, or none ever was."""
        return ages.commit_ms is None or ages.commit_ms > self._stale_after_ms

    async def progress(self) -> Mapping[str, Progress]:
        """Return how far each processor has come, at most REMEMBERED_MS ago."""
        now = self._now()
        if self._looked_at is None or not 0 <= now - self._looked_at < REMEMBERED_MS:
            self._progress = await self._reader.progress()
            self._looked_at = now
        return self._progress
