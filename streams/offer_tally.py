"""What a run has come to for offers: who asked, what was shown and redeemed, and what the ranker has learned."""

from collections import Counter, deque
from typing import Any

from schemas.events import Click, OfferRequest
from schemas.offer_results import OfferExample, RankerVersion, Ranking
from schemas.records import AnyRecord

NEWEST_RANKINGS = 4


class OfferTally:
    """Counts the records of a run that are about offers.

    `reward_rate` is the share of what was shown that was seen and then redeemed in its time, over all that is known
    for sure: what could still be redeemed when the run ended is left out.
    """

    def __init__(self) -> None:
        self.requests = self.rankings = self.unasked = 0
        self.clicks: Counter[str] = Counter()
        self.newest: deque[Ranking] = deque(maxlen=NEWEST_RANKINGS)
        self.version: RankerVersion | None = None
        self._known = self._rewarded = 0

    def take(self, record: AnyRecord) -> None:
        """Count one record."""
        match record.message:
            case Click() as click:
                self.clicks[click.kind] += 1
            case OfferRequest():
                self.requests += 1
            case Ranking(shown=False, trigger="request") as ranking:
                self.rankings += 1
                self._show(ranking)
            case Ranking(shown=False):
                self.unasked += 1
            case OfferExample(late=False) as example:
                self._known += 1
                self._rewarded += example.label
            case RankerVersion() as version:
                self.version = version

    def _show(self, ranking: Ranking) -> None:
        if ranking.slots:
            self.newest.appendleft(ranking)

    @property
    def reward_rate(self) -> float | None:
        """The share in [0, 1]; None before anything is known."""
        return self._rewarded / self._known if self._known else None

    def summary(self, random_rate: float | None) -> dict[str, Any]:
        """Return the figures, beside what offers chosen at random would have come to."""
        return {
            "requests": self.requests,
            "rankings": self.rankings,
            "unasked_rankings": self.unasked,
            "impressions": self.clicks["impression"],
            "redemptions": self.clicks["redemption"],
            "reward_rate": self.reward_rate,
            "random_rate": random_rate,
            "ranker_version": self.version.version if self.version else 0,
        }
