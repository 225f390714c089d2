"""The last good ranking of a customer, which is served again while no model can be used."""

from typing import Final

import numpy as np

from processors.offer_history import LastGood
from processors.offer_scoring import Scored
from schemas.offer_results import Ranking

AGAIN: Final = "last_good"
"""The policy of a ranking that is served again: nothing in it is left to chance, so that each propensity is 1."""


def last_good(known: LastGood | None, ranking: Ranking) -> LastGood | None:
    """Return the last good ranking after one more: this one, where a model made it from the whole catalogue."""
    if ranking.source != "model" or ranking.degraded or not ranking.slots:
        return known
    offers, scores = zip(*((slot.offer, slot.score) for slot in ranking.slots), strict=True)
    return LastGood(ranking.event_time, ranking.version, offers, scores)


def again(good: LastGood, scored: Scored, slots: int) -> Scored | None:
    """Return what the last good ranking had that may be shown now, at most `slots` offers; None for none.

    Scores and version are those of then. Vectors are those of now, as what comes of the offers is learned on them.
    """
    candidates = [candidate.terms.offer for candidate in scored.candidates]
    pairs = zip(good.offers, good.scores, strict=True)
    left = [(candidates.index(offer), score) for offer, score in pairs if offer in candidates][:slots]
    if not left:
        return None
    at = [each for each, _ in left]
    return scored._replace(
        candidates=[scored.candidates[each] for each in at],
        vectors=scored.vectors[at],
        scores=np.array([score for _, score in left], dtype=np.float64),
        source=AGAIN,
        version=good.version,
    )
