"""What a run has come to: counts, the newest alerts, and how good its scores were once their labels had come."""

from collections import deque
from time import perf_counter

import numpy as np

from online_models.metrics import average_precision, roc_auc
from schemas.records import AnyRecord
from schemas.results import Alert, DeadLetter, Example, FraudScore, ModelVersion
from schemas.topics import TRANSACTIONS
from streams.offer_tally import OfferTally
from streams.recommendation_tally import RecommendationTally

NEWEST_ALERTS = 8


class Tally:
    """Counts the records of a run, those that came in and those that were said.

    Quality is progressive: over every payment whose outcome matured during the run, with the score it got when it
    came, before anything was learned from it. The first payments are scored by the rules, and count too.
    """

    def __init__(self, champion: str) -> None:
        self.events = self.scores = self.alerts = self.dead_letters = 0
        self.newest: deque[Alert] = deque(maxlen=NEWEST_ALERTS)
        self.score: FraudScore | None = None
        self.version: ModelVersion | None = None
        self.offers = OfferTally()
        self.recommendations = RecommendationTally()
        self._champion = champion
        self._labels: list[bool] = []
        self._scores: list[float] = []
        self._started = self._counted = 0.0

    def take(self, record: AnyRecord) -> None:
        """Count one record."""
        self._counted = perf_counter()
        self._started = self._started or self._counted
        self.offers.take(record)
        self.recommendations.take(record)
        match record.message:
            case FraudScore() as score:
                self.scores += 1
                self.score = score
            case Alert() as alert:
                self.alerts += 1
                self.newest.appendleft(alert)
            case Example() as example if example.model == self._champion:
                self._labels.append(example.label)
                self._scores.append(example.score)
            case ModelVersion() as version if version.model == self._champion:
                self.version = version
            case DeadLetter():
                self.dead_letters += 1
            case _ if record.topic is TRANSACTIONS:
                self.events += 1

    @property
    def matured(self) -> int:
        """How many outcomes have matured."""
        return len(self._labels)

    @property
    def rate(self) -> float:
        """Events a second, from the first record counted to the last."""
        return self.events / max(self._counted - self._started, 1e-9)

    def quality(self) -> dict[str, float | None]:
        """Return ROC AUC and average precision over the matured outcomes; None where they are not defined yet."""
        labels, scores = np.array(self._labels, dtype=np.bool_), np.array(self._scores, dtype=np.float64)
        return {"auc": roc_auc(labels, scores), "average_precision": average_precision(labels, scores)}
