"""How fresh results are: what waits before the pipeline, and when that last committed."""

from collections.abc import Callable, Mapping

from api.answers import Ages, Lag
from api.backlog import Backlog
from api.settings import ApiSettings
from sinks.base import Progress, ResultReader

MADE_BY: Mapping[str, frozenset[str]] = {
    "score": frozenset({"features", "fraud"}),
    "features": frozenset({"features"}),
    "models": frozenset({"features", "fraud", "outcomes", "learning"}),
    "ranking": frozenset({"offers"}),
    "usage": frozenset({"offers", "offer-usage"}),
    "rankers": frozenset({"offers", "rewards", "offer-learning"}),
    "recommendations": frozenset({"recommendations"}),
    "demand": frozenset({"recommendations", "demand"}),
}
"""The processors that each part of an answer comes from: that nothing was learned lately makes no score stale."""

REMEMBERED_MS = 250
"""How long a look at the pipeline's progress serves further answers."""


class Freshness:
    """Tells how old answers are, by `now` (milliseconds since 1970 UTC). Raises SinkBusy while results are away.

    Without a `backlog` nobody knows whether anything waits: then an answer counts as stale by the last commit alone.
    """

    def __init__(
        self, reader: ResultReader, now: Callable[[], int], settings: ApiSettings, backlog: Backlog | None = None
    ) -> None:
        self._reader = reader
        self._now = now
        self._settings = settings
        self._backlog = backlog
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

    async def lag(self, part: str = "") -> Lag | None:
        """Return what waits for those that make the part, or for all that ever committed; None when unknown."""
        if self._backlog is None:
            return None
        known = self._backlog.lag(MADE_BY.get(part, frozenset()))
        return known or self._backlog.lag((await self.progress()).keys())

    def is_stale(self, ages: Ages, lag: Lag | None) -> bool:
        """Return whether newer events wait for too long; where nobody knows, whether the last commit is long ago."""
        if lag is not None:
            return lag.ms > self._settings.behind_after_ms
        return ages.commit_ms is None or ages.commit_ms > self._settings.stale_after_ms

    async def progress(self) -> Mapping[str, Progress]:
        """Return how far each processor has come, at most REMEMBERED_MS ago."""
        now = self._now()
        if self._looked_at is None or not 0 <= now - self._looked_at < REMEMBERED_MS:
            self._progress = await self._reader.progress()
            self._looked_at = now
        return self._progress
