"""Making rankings: from what may be shown to a customer to slots with their propensities and reasons."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple, Self

from msgspec.structs import replace

from processors.apprentice import overruled
from processors.base import Tables
from processors.eligibility import Refusal, closed, refusal
from processors.last_good import AGAIN, again
from processors.offer_catalogue import OffersByTenant
from processors.offer_context import OfferContext
from processors.offer_features import FEATURES_ID
from processors.offer_reasons import reasons_of
from processors.offer_risk import RiskLimits
from processors.offer_scoring import OfferScorer, Scored
from processors.offer_slots import LiveSplit
from processors.offer_terms import Candidate, Terms, TermsByOffer
from schemas.events import Click, Offer, OfferRequest
from schemas.keys import keyed
from schemas.offer_results import Agreement, RankedOffer, RankerVersion, Ranking, Trigger
from schemas.offer_topics import OFFER_USAGE, RANKERS
from schemas.records import DAY
from schemas.rollout_topics import ROLLOUTS
from schemas.topics import OFFERS

LOGGED = "logged"
"""The policy of a ranking that somebody else decided."""

STALE_AFTER = 30 * DAY
"""How long a ranker that learns nothing is trusted, unless told otherwise; milliseconds of event time."""

Deciding = Literal["model", "rules"]
"""Whose scores are served: the model's where there is one, or those of the rules, which a model then only imitates."""


class Question(NamedTuple):
    """Which offers to show a customer at `time` (milliseconds): of those named, or of the whole catalogue."""

    decision: str
    time: int
    tenant: str
    user: str
    offers: tuple[str, ...] = ()
    slots: int = 3
    trigger: Trigger = "request"

    @classmethod
    def of(cls, request: OfferRequest) -> Self:
        """Return what a request asks."""
        return cls(request.event_id, request.time_ms(), request.tenant, request.user, request.offers, request.slots)


class RankingMaker:
    """Makes the ranking that answers a request, or that says what somebody else decided; changes no context.

    Whoever `split` chooses fills the slots from the candidates that may be shown, scored by the newest version of
    `model`, or by the rules where these decide; a ranking without slots says why none of them may. The customer's
    `risk` lowers what offers are worth, or bars them. `verify` returns the model blob of a signed one, or raises
    BadSignature: such a version never ranks. While no version can be used, or the newest has learned nothing for
    `stale_after` milliseconds, the last good ranking is served again if it is no older, else what the rules say.
    """

    def __init__(
        self,
        verify: Callable[[bytes], bytes],
        model: str,
        split: LiveSplit,
        risk: RiskLimits,
        decides: Deciding = "model",
        stale_after: int = STALE_AFTER,
    ) -> None:
        self._model = model
        self._split = split
        self._decides = decides
        self._risk = risk
        self._stale_after = stale_after
        self._scorer = OfferScorer(verify)
        self._names = OffersByTenant()
        self._terms = TermsByOffer()

    def rank(self, context: OfferContext, question: Question, tables: Tables) -> Ranking:
        """Return the answer to a question as the context stands. Changes nothing."""
        time = question.time
        candidates, refused = self._eligible(context, question, tables)
        scored = self._scored(context, candidates, time, tables)
        agreement: Agreement | None = None
        if self._decides == "rules":
            scored, agreement = overruled(scored, context, time)
        if scored.degraded and (known := self._again(context, question, scored)) is not None:
            return replace(known, refused=refused)
        choice = self._split.choose(question.tenant, question.user, tables.get(ROLLOUTS, {}).get(self._model))
        slots = [
            replace(
                _ranked(scored, slot.candidate, slot.propensity, time),
                reasons=reasons_of(scored, slot.candidate, context, time),
            )
            for slot in choice.filler.fill(question.decision, question.slots, scored)
        ]
        return replace(
            self._ranking(question, scored, slots, choice.filler.policy),
            refused=refused,
            arm=choice.arm,
            trial=choice.trial,
            shadow=choice.first(question.decision, scored),
            agreement=agreement,
        )

    def _scored(self, context: OfferContext, candidates: Sequence[Candidate], time: int, tables: Tables) -> Scored:
        version: RankerVersion | None = tables[RANKERS].get(self._model)
        stale = version is not None and time > version.learned_through + self._stale_after
        scored = self._scorer.score(context, candidates, time, None if stale else version)
        abuse = self._risk.loss(context.suspicions, time)
        return scored._replace(degraded=scored.degraded or stale, abuse=abuse)

    def _again(self, context: OfferContext, question: Question, scored: Scored) -> Ranking | None:
        """Return the last good ranking as far as it may be shown, None where nothing of it may or it is too old."""
        good = context.good
        if good is None or question.time > good.at + self._stale_after:
            return None
        left = again(good, scored, question.slots)
        if left is None:
            return None
        slots = [_ranked(left, at, 1.0, question.time) for at in range(len(left.candidates))]
        return replace(self._ranking(question, left, slots, AGAIN), good_at=good.at)

    def _eligible(
        self, context: OfferContext, question: Question, tables: Tables
    ) -> tuple[list[Candidate], dict[str, str]]:
        """Return the candidates by offer id, each once, and why others may not be shown."""
        time, tenant, usages = question.time, question.tenant, tables[OFFER_USAGE]
        barred: Refusal | None = "risk" if self._risk.bars(context.suspicions, time) else None
        candidates: list[Candidate] = []
        refused: dict[str, str] = {}
        for name in sorted(set(question.offers)) or dict.fromkeys(self._names.names(tables[OFFERS], tenant)):
            key = keyed(tenant, name)
            terms, usage = self.known(key, tables[OFFERS]), usages.get(key)
            why = "unknown" if terms is None else refusal(terms, context, usage, time) or barred
            if terms is None or why is not None:
                refused[name] = str(why)
            else:
                candidates.append(Candidate(terms, usage))
        return candidates, refused

    def can_offer(self, tenant: str, tables: Tables) -> bool:
        """Return whether the catalogue has offers of a tenant."""
        return self._names.any(tables[OFFERS], tenant)

    def known(self, key: str, catalogue: Mapping[str, Offer]) -> Terms | None:
        """Return the terms of the entry of the catalogue under `key`, None where there is none."""
        offer = catalogue.get(key)
        return None if offer is None else self._terms.of(key, offer)

    def logged(self, context: OfferContext, click: Click, shown: Terms, tables: Tables) -> Ranking:
        """Return the ranking of what somebody else decided to show, beside all that were active.

        It is judged and learned from, so it knows nothing of what just now becomes of other customers' offers.
        """
        time, catalogue = click.time_ms(), tables[OFFERS]
        names = self._names.names(catalogue, click.tenant)
        known = (self.known(keyed(click.tenant, name), catalogue) for name in names)
        found = {terms.offer: terms for terms in known if terms is not None and closed(terms.limits, time) is None}
        found[shown.offer] = shown
        candidates = [Candidate(found[name]) for name in sorted(found)]
        scored = self._scored(context, candidates, time, tables)
        slot = _ranked(scored, sorted(found).index(shown.offer), click.propensity or 1.0, time)
        question = Question(click.decision_id or click.event_id, time, click.tenant, click.user)
        return replace(self._ranking(question, scored, (slot,), LOGGED), shown=True)

    def _ranking(self, question: Question, scored: Scored, slots: Sequence[RankedOffer], policy: str) -> Ranking:
        return Ranking(
            event_id=question.decision,
            event_time=question.time,
            tenant=question.tenant,
            user=question.user,
            slots=tuple(slots),
            candidates=tuple(terms.offer for terms, _ in scored.candidates),
            scores=tuple(scored.scores.tolist()),
            source=scored.source,
            policy=policy,
            model=self._model,
            version=scored.version,
            features=FEATURES_ID,
            degraded=scored.degraded,
            trigger=question.trigger,
        )


def _ranked(scored: Scored, at: int, propensity: float, time: int) -> RankedOffer:
    terms = scored.candidates[at].terms
    return RankedOffer(
        offer=terms.offer,
        score=float(scored.scores[at]),
        value=scored.value(at),
        propensity=propensity,
        window_end=time + terms.duration,
        vector=tuple(scored.vectors[at].tolist()),
        rewarded=terms.reward > 0.0,
        unit="" if terms.worth is None else terms.unit,
        abuse=scored.loss(at),
    )
