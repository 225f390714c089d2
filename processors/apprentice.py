"""An apprentice: while the rules decide, how far the model would have ordered the candidates as they do."""

import numpy as np

from online_models.base import Vector
from processors.offer_context import OfferContext
from processors.offer_scoring import Scored, by_rules
from schemas.offer_results import Agreement


def overruled(learned: Scored, context: OfferContext, time: int) -> tuple[Scored, Agreement | None]:
    """Return the candidates as the rules score them, and how far a model that had scored them agrees, if one had."""
    scores, source = by_rules(context, learned.candidates, time)
    ruled = learned._replace(scores=scores, source=source, version=0, ranker=None, degraded=False)
    if learned.ranker is None or not learned.candidates:
        return ruled, None
    return ruled, agreement(ruled.preferences(), learned.preferences(), learned.version)


def agreement(rules: Vector, model: Vector, version: int) -> Agreement:
    """Return how far a version's preferences order the candidates, at least one, as those of the rules do.

    The first of several best ones counts as the best. Over the pairs that the rules tell apart `pairs` is the chance
    that the model prefers the same one, a tie being half: (1 + Goodman and Kruskal's gamma) / 2 where it has no ties.
    """
    upper = np.triu_indices(len(rules), 1)
    ruled, learned = (np.sign(np.subtract.outer(each, each))[upper] for each in (rules, model))
    apart = ruled != 0.0
    pairs = float((1.0 + ruled[apart] * learned[apart]).mean() / 2.0) if apart.any() else None
    return Agreement(version=version, top=bool(rules.argmax() == model.argmax()), pairs=pairs)
