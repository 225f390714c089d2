"""Ranking: answers requests for offers, and keeps what a customer does with those that are shown."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec.structs import replace

from processors.base import Said, Tables
from processors.eligibility import closed, refusal
from processors.offer_context import OfferContext, answer, introduce, new_context, pay, show
from processors.offer_features import FEATURES_ID
from processors.offer_history import Decision
from processors.offer_reasons import reasons_of
from processors.offer_scoring import OfferScorer, Scored
from processors.offer_slots import SlotFiller
from processors.offer_terms import Candidate, Terms, TermsByOffer
from schemas.events import Click, Offer, OfferRequest, Profile, Transaction
from schemas.keys import keyed
from schemas.offer_results import Happened, OfferEvent, RankedOffer, Ranking
from schemas.offer_topics import OFFER_EVENTS, OFFER_USAGE, RANKERS, RANKINGS
from schemas.records import AnyRecord
from schemas.topics import CLICKS, OFFER_REQUESTS, OFFERS, PROFILES, TRANSACTIONS

LOGGED = "logged"
"""The policy of a ranking that somebody else decided."""


class OfferRanker:
    """Folds what a customer does into their context, and says a ranking for each request.

    A request is answered once, with its slots filled by `policy` (see `POLICIES`) seeded by `seed` and the decision's
    id, from the candidates that may be shown; a ranking without slots says why none of them may. `verify` returns the
    model blob of a signed one, or raises BadSignature: such a version never ranks.

    An impression of a decision made here is one of its slots shown. One of any other decision is somebody else's: it is
    answered with a ranking of the offers that were active, made before the impression itself is taken in; its
    propensity is the one told, else 1. An impression of an offer that the catalogue does not know, or that the decision
    has no slot of, changes nothing. What happens with an offer that was shown goes to those who count what it has cost.
    """

    name = "offers"
    inputs = (TRANSACTIONS, PROFILES, CLICKS, OFFER_REQUESTS)
    outputs = (RANKINGS, OFFER_EVENTS)
    tables = (OFFERS, RANKERS, OFFER_USAGE)
    state = OfferContext

    def __init__(
        self,
        verify: Callable[[bytes], bytes],
        model: str = "offers",
        policy: str = "epsilon-greedy",
        seed: int = 0,
        most_per_category: int | None = 2,
    ) -> None:
        self._model = model
        self._filler = SlotFiller(policy, seed, most_per_category)
        self._scorer = OfferScorer(verify)
        self._terms = TermsByOffer()

    def step(
        self, state: OfferContext | None, record: AnyRecord, tables: Tables
    ) -> tuple[OfferContext | None, Iterable[Said]]:
        """Return the customer's next context and what is said: a ranking, or what happened with an offer."""
        message = record.message
        context = state or new_context(message.time_ms())
        match message:
            case Transaction():
                pay(context, message)
            case Profile():
                introduce(context, message)
            case OfferRequest():
                return context, self._requested(context, message, tables)
            case Click(kind="impression"):
                return context, self._shown(context, message, tables)
            case Click():
                return context, self._answered(context, message, tables)
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")
        return context, ()

    def _requested(self, context: OfferContext, request: OfferRequest, tables: Tables) -> Iterable[Said]:
        time = request.time_ms()
        if context.history.decision(request.event_id, time) is not None:
            return ()
        ranking = self.rank(context, request, tables)
        offers = tuple(slot.offer for slot in ranking.slots)
        context.history.decide(Decision(request.event_id, time, offers))
        return (Said(RANKINGS, ranking),)

    def rank(self, context: OfferContext, request: OfferRequest, tables: Tables) -> Ranking:
        """Return the answer to a request as the context stands. Changes nothing."""
        time = request.time_ms()
        candidates, refused = self._eligible(context, request, tables)
        scored = self._scorer.score(context, candidates, time, tables[RANKERS].get(self._model))
        slots = [
            replace(
                _ranked(scored, slot.candidate, slot.propensity, time),
                reasons=reasons_of(scored, slot.candidate, context, time),
            )
            for slot in self._filler.fill(request.event_id, request.slots, scored)
        ]
        return replace(self._ranking(request, scored, slots, self._filler.policy), refused=refused)

    def _eligible(
        self, context: OfferContext, request: OfferRequest, tables: Tables
    ) -> tuple[list[Candidate], dict[str, str]]:
        """Return the candidates by offer id, each once, and why others may not be shown."""
        time, tenant, usages = request.time_ms(), request.tenant, tables[OFFER_USAGE]
        candidates: list[Candidate] = []
        refused: dict[str, str] = {}
        for name in sorted(set(request.offers) or _catalogue(tables[OFFERS], tenant)):
            key = keyed(tenant, name)
            terms, usage = self._known(key, tables[OFFERS]), usages.get(key)
            why = "unknown" if terms is None else refusal(terms, context, usage, time)
            if terms is None or why is not None:
                refused[name] = str(why)
            else:
                candidates.append(Candidate(terms, usage))
        return candidates, refused

    def _known(self, key: str, catalogue: Mapping[str, Offer]) -> Terms | None:
        """Return the terms of the entry of the catalogue under `key`, None where there is none."""
        offer = catalogue.get(key)
        return None if offer is None else self._terms.of(key, offer)

    def _shown(self, context: OfferContext, click: Click, tables: Tables) -> Iterable[Said]:
        time, decision = click.time_ms(), click.decision_id or click.event_id
        terms = self._known(keyed(click.tenant, str(click.offer)), tables[OFFERS])
        if terms is None or any((shown.decision, shown.offer) == (decision, terms.offer) for shown in context.shown):
            return ()
        ours = context.history.decision(decision, time)
        if ours is not None and terms.offer not in ours.offers:
            return ()
        said = [] if ours else [Said(RANKINGS, self._logged(context, click, terms, tables))]
        show(context, decision, terms, time)
        return (*said, Said(OFFER_EVENTS, _event(click, "impression", terms, decision)))

    def _logged(self, context: OfferContext, click: Click, shown: Terms, tables: Tables) -> Ranking:
        """Return the ranking of what somebody else decided to show, beside all that were active.

        It is judged and learned from, so it knows nothing of what just now becomes of other customers' offers.
        """
        time, catalogue = click.time_ms(), tables[OFFERS]
        known = (self._known(keyed(click.tenant, name), catalogue) for name in _catalogue(catalogue, click.tenant))
        found = {terms.offer: terms for terms in known if terms is not None and closed(terms.limits, time) is None}
        found[shown.offer] = shown
        candidates = [Candidate(found[name]) for name in sorted(found)]
        scored = self._scorer.score(context, candidates, time, tables[RANKERS].get(self._model))
        slot = _ranked(scored, sorted(found).index(shown.offer), click.propensity or 1.0, time)
        ranking = self._ranking(click, scored, (slot,), LOGGED)
        return replace(ranking, event_id=click.decision_id or click.event_id, shown=True)

    def _answered(self, context: OfferContext, click: Click, tables: Tables) -> Iterable[Said]:
        shown = answer(context, click)
        terms = None if shown is None else self._known(keyed(click.tenant, shown.offer), tables[OFFERS])
        if shown is None or terms is None:
            return ()
        kind: Happened = "view" if click.kind == "view" else "redemption"
        return (Said(OFFER_EVENTS, _event(click, kind, terms, shown.decision)),)

    def _ranking(
        self, event: Click | OfferRequest, scored: Scored, slots: Sequence[RankedOffer], policy: str
    ) -> Ranking:
        return Ranking(
            event_id=event.event_id,
            event_time=event.time_ms(),
            tenant=event.tenant,
            user=event.user,
            slots=tuple(slots),
            candidates=tuple(terms.offer for terms, _ in scored.candidates),
            scores=tuple(scored.scores.tolist()),
            source=scored.source,
            policy=policy,
            model=self._model,
            version=scored.version,
            features=FEATURES_ID,
            degraded=scored.degraded,
        )


def _catalogue(catalogue: Mapping[str, Offer], tenant: str) -> list[str]:
    return [offer.offer for offer in catalogue.values() if offer.tenant == tenant]


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
    )


def _event(click: Click, kind: Happened, terms: Terms, decision: str) -> OfferEvent:
    """Return what happened with an offer that was shown; only a redemption costs."""
    return OfferEvent(
        event_id=click.event_id,
        event_time=click.time_ms(),
        tenant=click.tenant,
        offer=terms.offer,
        user=click.user,
        kind=kind,
        decision=decision,
        cost=terms.cost if kind == "redemption" else 0.0,
        unit=terms.unit,
    )
