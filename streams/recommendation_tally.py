"""What a run has come to for recommendations: who visited, what was recommended and what was bought of it."""

from collections import deque
from typing import Any

from schemas.recommendation_results import Recommendations
from schemas.records import AnyRecord
from streams.item_simulator import Shoppers

NEWEST_RECOMMENDATIONS = 3


class RecommendationTally:
    """Counts the records of a run that are about recommendations."""

    def __init__(self) -> None:
        self.count = 0
        self.newest: deque[Recommendations] = deque(maxlen=NEWEST_RECOMMENDATIONS)

    def take(self, record: AnyRecord) -> None:
        """Count one record."""
        if isinstance(record.message, Recommendations):
            self.count += 1
            if record.message.items:
                self.newest.appendleft(record.message)

    def summary(self, shoppers: Shoppers | None) -> dict[str, Any]:
        """Return the figures: what those who visited bought, beside what items chosen at random would have come to."""
        return {
            "recommendations": self.count,
            "visits": shoppers.visits if shoppers else 0,
            "shown": shoppers.shown if shoppers else 0,
            "bought": shoppers.bought if shoppers else 0,
            "hit_rate": shoppers.hit_rate if shoppers else None,
            "random_rate": shoppers.random_rate if shoppers else None,
        }
