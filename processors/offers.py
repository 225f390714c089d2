"""Ranking: scores every candidate with the newest published model when an offer is shown, and says the decision."""

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from online_models.base import Vector
from online_models.offers import RANKING, AdditiveRanker
from processors.base import Said, Tables
from processors.offer_context import OfferContext, answer, introduce, new_context, pay, show
from processors.offer_features import FEATURES_ID, NAMES, candidate_vectors
from processors.offer_terms import Terms, TermsByOffer
from schemas.events import Click, Offer, Profile, Transaction
from schemas.offer_results import RankedOffer, RankerVersion, Ranking
from schemas.offer_topics import RANKERS, RANKINGS
from schemas.records import AnyRecord
from schemas.topics import CLICKS, OFFERS, PROFILES, TRANSACTIONS


class OfferRanker:
    """Folds what a customer does into their context, and says a ranking whenever an offer is shown to them.

    A ranking holds the score of every active offer of the catalogue and of the one shown, made before the impression
    itself is taken in; the propensity is the one told, else 1. `verify` returns the model blob of a signed one, or
    raises BadSignature: such a version never ranks. Without a usable model every candidate scores the prior, and the
    ranking says so. An impression of an offer that the catalogue does not know changes nothing.
    """

    name = "offers"
    inputs = (TRANSACTIONS, PROFILES, CLICKS)
    outputs = (RANKINGS,)
    tables = (OFFERS, RANKERS)
    state = OfferContext

    def __init__(self, verify: Callable[[bytes], bytes], model: str = "offers") -> None:
        self._verify = verify
        self._model = model
        self._terms = TermsByOffer()
        self._loaded: tuple[str, AdditiveRanker | None] = ("", None)

    def step(
        self, state: OfferContext | None, record: AnyRecord, tables: Tables
    ) -> tuple[OfferContext | None, Iterable[Said]]:
        """Return the customer's next context and, for an impression, the ranking."""
        message = record.message
        context = state or new_context(message.time_ms())
        match message:
            case Transaction():
                pay(context, message)
            case Profile():
                introduce(context, message)
            case Click(kind="impression"):
                return context, self._shown(context, message, tables)
            case Click():
                answer(context, message)
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")
        return context, ()

    def _shown(self, context: OfferContext, click: Click, tables: Tables) -> Iterable[Said]:
        decision = click.decision_id or click.event_id
        terms = self._known(click, tables[OFFERS])
        if terms is None or any(shown.decision == decision for shown in context.shown):
            return ()
        ranking = self.rank(context, click, terms, tables)
        show(context, decision, terms, click.time_ms())
        return (Said(RANKINGS, ranking),)

    def _known(self, click: Click, catalogue: Mapping[str, Offer]) -> Terms | None:
        """Return the terms of the offer of a click, None where the catalogue has no such offer."""
        key = f"{click.offer}" if click.tenant == "default" else f"{click.tenant}/{click.offer}"
        offer = catalogue.get(key)
        return None if offer is None else self._terms.of(key, offer)

    def rank(self, context: OfferContext, click: Click, shown: Terms, tables: Tables) -> Ranking:
        """Return the scores of all candidates as the context stands, with the vector of what was shown."""
        time = click.time_ms()
        candidates = self._candidates(click, shown, tables[OFFERS])
        vectors = candidate_vectors(context, candidates, time)
        version = tables[RANKERS].get(self._model)
        ranker = self.ranker(version)
        scores = _prior(vectors) if ranker is None else ranker.score_many(vectors)
        at = candidates.index(shown)
        slot = RankedOffer(
            offer=shown.offer,
            score=float(scores[at]),
            value=float(scores[at]),
            propensity=click.propensity or 1.0,
            window_end=time + shown.duration,
            vector=tuple(vectors[at].tolist()),
            rewarded=shown.reward > 0.0,
        )
        return Ranking(
            event_id=click.decision_id or click.event_id,
            event_time=time,
            tenant=click.tenant,
            user=click.user,
            slots=(slot,),
            candidates=tuple(terms.offer for terms in candidates),
            scores=tuple(scores.tolist()),
            source="prior" if ranker is None else "model",
            policy="logged",
            model=self._model,
            version=0 if ranker is None or version is None else version.version,
            features=FEATURES_ID,
            shown=True,
        )

    def _candidates(self, click: Click, shown: Terms, catalogue: Mapping[str, Offer]) -> list[Terms]:
        """Return the terms of the active offers of the click's tenant, by offer id, and of the one that was shown."""
        found = {
            offer.offer: self._terms.of(key, offer)
            for key, offer in catalogue.items()
            if offer.tenant == click.tenant and _open(offer, click)
        }
        found[shown.offer] = shown
        return [found[offer] for offer in sorted(found)]

    def ranker(self, version: RankerVersion | None) -> AdditiveRanker | None:
        """Return the model of a version, or None when there is none, or it is forged, broken or of other features."""
        if version is None or version.features != FEATURES_ID:
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


def _open(offer: Offer, click: Click) -> bool:
    starts, ends = offer.starts, offer.ends
    in_time = (starts is None or starts <= click.event_time) and (ends is None or click.event_time <= ends)
    return offer.status == "active" and in_time


def _prior(vectors: Vector) -> Vector:
    return np.full(len(vectors), RANKING.base_rate)
