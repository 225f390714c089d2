"""Scoring candidates: the newest published version of a ranker, and what a show of each offer is expected to earn."""

from base64 import b64decode
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from online_models.base import Vector
from online_models.offers import RANKING, AdditiveRanker
from processors.offer_context import OfferContext
from processors.offer_features import NAMES, WIDTHS, candidate_vectors
from processors.offer_terms import Candidate
from processors.smart_score import is_anything_known, smart_scores
from schemas.offer_results import RankerVersion


class Scored(NamedTuple):
    """Candidates with their vectors and scores, one row each, and what made the scores; `ranker` is None for no model.

    `degraded` says that a version was published, but cannot be used or is too old. `abuse` is how many times its cost
    an offer is expected to lose to abuse.
    """

    candidates: Sequence[Candidate]
    vectors: Vector
    scores: Vector
    source: Literal["model", "rules", "prior", "last_good"]
    version: int
    ranker: AdditiveRanker | None
    degraded: bool
    abuse: float = 0.0

    def value(self, at: int) -> float:
        """Return what showing a candidate is expected to earn in its unit; its score where it tells no margin.

        P(redeemed) · (margin − cost) − P(abused) · cost of abuse.
        """
        worth = self.candidates[at].terms.worth
        return float(self.scores[at]) if worth is None else float(self.scores[at]) * worth - self.loss(at)

    def loss(self, at: int) -> float:
        """Return what showing a candidate is expected to lose to abuse, in its unit; 0 where it tells no margin."""
        terms = self.candidates[at].terms
        return 0.0 if terms.worth is None else self.abuse * terms.cost

    def preferences(self) -> Vector:
        """Return what to rank by, in [-1, 1]: values where all candidates tell them in one unit, else scores.

        Values are divided by the most that one can gain or lose, since ways to explore take rewards to be of some 1.
        """
        worths = [candidate.terms.worth for candidate in self.candidates]
        if None in worths or len({candidate.terms.unit for candidate in self.candidates}) > 1:
            return self.scores
        worth = np.array(worths, dtype=np.float64)
        losses = self.abuse * np.array([candidate.terms.cost for candidate in self.candidates], dtype=np.float64)
        largest = (np.abs(worth) + losses).max(initial=0.0)
        preferences: Vector = (self.scores * worth - losses) / largest if largest > 0.0 else self.scores
        return preferences


def by_rules(
    context: OfferContext, candidates: Sequence[Candidate], time: int
) -> tuple[Vector, Literal["rules", "prior"]]:
    """Return the scores that need no model: by the rules or, while they can tell nothing apart, the prior rate."""
    if is_anything_known(context, candidates):
        return smart_scores(context, candidates, time), "rules"
    return np.full(len(candidates), RANKING.base_rate), "prior"


class OfferScorer:
    """Scores candidates by the model of a published version, read again only when another is published.

    Without a usable one the rules score, or, while they can tell nothing apart, the prior rate of all offers.

    `verify` returns the model blob of a signed one, or raises BadSignature: such a version never scores, nor does one
    of other features. One of only the first features of a vector scores by these.
    """

    def __init__(self, verify: Callable[[bytes], bytes]) -> None:
        self._verify = verify
        self._loaded: tuple[str, AdditiveRanker | None] = ("", None)

    def score(
        self, context: OfferContext, candidates: Sequence[Candidate], time: int, version: RankerVersion | None
    ) -> Scored:
        """Return the scores of all candidates as the context stands. Changes nothing of it."""
        vectors = candidate_vectors(context, [candidate.terms for candidate in candidates], time)
        ranker = self.ranker(version)
        if ranker is not None and version is not None:
            return Scored(candidates, vectors, ranker.score_many(vectors), "model", version.version, ranker, False)
        degraded = version is not None
        scores, source = by_rules(context, candidates, time)
        return Scored(candidates, vectors, scores, source, 0, None, degraded)

    def ranker(self, version: RankerVersion | None) -> AdditiveRanker | None:
        """Return the model of a version, or None when there is none, or it is forged, broken or of other features."""
        if version is None or version.features not in WIDTHS:
            return None
        if self._loaded[0] != version.digest:
            self._loaded = (version.digest, self._load(version))
        return self._loaded[1]

    def _load(self, version: RankerVersion) -> AdditiveRanker | None:
        ranker = AdditiveRanker(NAMES)
        try:
            ranker.restore(self._verify(b64decode(version.blob)))
        except ValueError:
            return None
        return ranker
