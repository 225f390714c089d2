"""Ranking: answers requests for offers, follows what a customer does, and keeps what becomes of what is shown."""

from collections.abc import Callable, Iterable

from processors.base import Said, Tables
from processors.last_good import last_good
from processors.offer_answers import answer, show, take_back
from processors.offer_context import Cause, OfferContext, introduce, new_context, pay
from processors.offer_history import Charge, Decision
from processors.offer_ranking import STALE_AFTER, Deciding, Question, RankingMaker
from processors.offer_risk import Barred, RiskLimits, Suspicions, suspect
from processors.offer_slots import LiveSplit, SlotFiller
from processors.trial import Trial
from schemas.events import Click, OfferRequest, Profile, Transaction
from schemas.keys import keyed
from schemas.offer_results import CustomerRisk, Happened, OfferEvent, Trigger
from schemas.offer_topics import OFFER_EVENTS, OFFER_USAGE, RANKERS, RANKINGS
from schemas.records import AnyRecord, Due
from schemas.results import Label
from schemas.rollout_topics import ROLLOUTS
from schemas.topics import CLICKS, CUSTOMER_LABELS, CUSTOMER_RISKS, OFFER_REQUESTS, OFFERS, PROFILES, TRANSACTIONS


class OfferRanker:
    """Folds what a customer does into their context, and says a ranking for each request and after their own events.

    A request is answered once, with its slots filled by `policy` (see `POLICIES`) seeded by `seed` and the decision's
    id, from the candidates that may be shown; a ranking without slots says why none of them may. `verify` returns the
    model blob of a signed one, or raises BadSignature: such a version never ranks. `decides` says whose scores are
    served. In a `trial` of `policy` a challenger fills the slots of some customers: see LiveSplit.

    A payment, a profile and a click other than an impression bring a ranking of the whole catalogue, whose decision has
    the id of that event: at once when the last ranking is `throttle` milliseconds of event time old, else as soon as it
    is, after the last of what happened by then. A throttle of 0 is for none but requests.

    Risky payments and their labels change how much the customer is suspected of abuse. When that bars their offers, or
    bars them no longer, rankings that nobody asked for are made anew at once, and so they are at the moment at which a
    bar ends by itself, as `user@milliseconds`: see RiskLimits. A ranking made meanwhile for any other reason takes the
    place of one that is awaited after an event, which it knows. One of the candidates that a request names does not,
    nor one that is no newer than the last: what is awaited comes when the newest of all, the one that is served, is
    `throttle` old.

    An impression of a decision made here is one of its slots shown. One of any other decision is somebody else's: it is
    answered with a ranking of the offers that were active, made before the impression itself is taken in; its
    propensity is the one told, else 1. An impression of an offer that the catalogue does not know, or that the decision
    has no slot of, changes nothing. What happens with an offer that was shown goes to those who count what it has cost,
    whether or not it still is in the catalogue; a reversal gives back what the redemptions it takes back had cost, to
    them and to the customer's own limits.
    """

    name = "offers"
    inputs = (TRANSACTIONS, PROFILES, CLICKS, OFFER_REQUESTS, CUSTOMER_RISKS, CUSTOMER_LABELS)
    outputs = (RANKINGS, OFFER_EVENTS)
    tables = (OFFERS, RANKERS, OFFER_USAGE, ROLLOUTS)
    state = OfferContext

    def __init__(
        self,
        verify: Callable[[bytes], bytes],
        model: str = "offers",
        policy: str = "epsilon-greedy",
        seed: int = 0,
        most_per_category: int | None = 2,
        throttle: int = 0,
        risk: RiskLimits = RiskLimits(),
        trial: Trial | None = None,
        decides: Deciding = "model",
        stale_after: int = STALE_AFTER,
    ) -> None:
        split = LiveSplit(SlotFiller(policy, seed, most_per_category), trial)
        self._rankings = RankingMaker(verify, model, split, risk, decides, stale_after)
        self._throttle = throttle
        self._risk = risk

    def step(
        self, state: OfferContext | None, record: AnyRecord, tables: Tables
    ) -> tuple[OfferContext | None, Iterable[Said]]:
        """Return the customer's next context and what is said: rankings, and what happened with an offer."""
        message = record.message
        if isinstance(message, Due):
            return state, () if state is None else self._waited(state, message.at, tables)
        context = state or new_context(record.time)
        match message:
            case Transaction():
                said = self._followed(context, message, tables) if pay(context, message) else ()
            case Profile():
                introduce(context, message)
                said = self._followed(context, message, tables)
            case OfferRequest():
                said = self._requested(context, message, tables)
            case Click(kind="impression"):
                said = self._shown(context, message, tables)
            case Click(kind="reversal"):
                said = (*_taken_back(context, message), *self._followed(context, message, tables))
            case Click():
                said = (*self._answered(context, message, tables), *self._followed(context, message, tables))
            case CustomerRisk() | Label():
                said = self._suspected(context, message, record, tables)
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")
        return context, said

    def _requested(self, context: OfferContext, request: OfferRequest, tables: Tables) -> Iterable[Said]:
        if context.history.decision(request.event_id, request.time_ms()) is not None:
            return ()
        return self._ranked(context, Question.of(request), tables)

    def _followed(self, context: OfferContext, event: Transaction | Profile | Click, tables: Tables) -> Iterable[Said]:
        """Rank after an event of the customer's own, or note when that is due."""
        if not self._throttle or not self._rankings.can_offer(event.tenant, tables):
            return ()
        time, ranked_at = event.time_ms(), context.ranked_at
        if context.history.decision(event.event_id, time) is not None:
            return ()
        context.cause = Cause(event.event_id, event.tenant, event.user)
        if ranked_at is None or time >= ranked_at + self._throttle:
            return self._unasked(context, time, "event", tables)
        self._wait(context)
        return ()

    def _suspected(
        self, context: OfferContext, told: CustomerRisk | Label, record: AnyRecord, tables: Tables
    ) -> Iterable[Said]:
        ranked_at = context.ranked_at
        if not self._throttle or ranked_at is None:
            suspect(context.suspicions, told)
            return ()
        # What is read as the newest of two rankings of one millisecond is anybody's guess.
        time = max(record.time, ranked_at + 1)
        before = self._risk.bars(context.suspicions, time)
        suspect(context.suspicions, told)
        if before != self._risk.bars(context.suspicions, time):
            context.cause = Cause(record.id, told.tenant, told.user)
            return self._unasked(context, time, "risk", tables)
        if before:
            context.barred = self._barred(context.suspicions, time, told)
            self._wait(context)
        return ()

    def _wait(self, context: OfferContext) -> None:
        """Note when the next ranking is due: after what happened last, or when the customer is barred no longer."""
        after = None if context.cause is None or context.ranked_at is None else context.ranked_at + self._throttle
        until = None if context.barred is None else context.barred.until
        context.due = min((at for at in (after, until) if at is not None), default=None)

    def _waited(self, context: OfferContext, time: int, tables: Tables) -> Iterable[Said]:
        barred = context.barred
        if barred is None or time < barred.until:
            return self._unasked(context, time, "due", tables)
        context.barred, context.cause = None, Cause(f"{barred.user}@{time}", barred.tenant, barred.user)
        return self._unasked(context, time, "risk", tables)

    def _unasked(self, context: OfferContext, time: int, trigger: Trigger, tables: Tables) -> Iterable[Said]:
        cause, context.cause = context.cause, None
        if cause is None or context.history.decision(cause.decision, time) is not None:
            self._wait(context)
            return ()
        return self._ranked(context, Question(cause.decision, time, cause.tenant, cause.user, trigger=trigger), tables)

    def _ranked(self, context: OfferContext, question: Question, tables: Tables) -> Iterable[Said]:
        ranking = self._rankings.rank(context, question, tables)
        context.good = context.good if question.offers else last_good(context.good, ranking)
        offers, asked = tuple(slot.offer for slot in ranking.slots), question.trigger == "request"
        context.history.decide(Decision(question.decision, question.time, offers, asked))
        if not question.offers and (context.ranked_at is None or question.time > context.ranked_at):
            context.cause = None
        context.ranked_at = max(question.time, context.ranked_at or question.time)
        known = None if question.trigger == "risk" else context.barred
        context.barred = self._barred(context.suspicions, context.ranked_at, question, known)
        self._wait(context)
        return (Said(RANKINGS, ranking),)

    def _barred(
        self, suspicions: Suspicions, time: int, whom: Question | CustomerRisk | Label, known: Barred | None = None
    ) -> Barred | None:
        """Return until when rankings are empty for the customer's risk, where that is to be followed up.

        `known` is the same as told before, if nothing else has been suspected since.
        """
        if not self._throttle or not self._risk.bars(suspicions, time):
            return None
        if known is not None and time < known.until:
            return known
        return Barred(self._risk.free_at(suspicions, time), whom.tenant, whom.user)

    def _shown(self, context: OfferContext, click: Click, tables: Tables) -> Iterable[Said]:
        time, decision = click.time_ms(), click.decision_id or click.event_id
        terms = self._rankings.known(keyed(click.tenant, str(click.offer)), tables[OFFERS])
        if terms is None or any((shown.decision, shown.offer) == (decision, terms.offer) for shown in context.shown):
            return ()
        ours = context.history.decision(decision, time)
        if ours is not None and terms.offer not in ours.offers:
            return ()
        said = [] if ours else [Said(RANKINGS, self._rankings.logged(context, click, terms, tables))]
        show(context, decision, terms, time)
        return (*said, _event(click, "impression", Charge(decision, terms.offer, time, unit=terms.unit)))

    def _answered(self, context: OfferContext, click: Click, tables: Tables) -> Iterable[Said]:
        shown = answer(context, click)
        if shown is None:
            return ()
        # An offer that has left the catalogue since costs what it did when it was shown.
        told = self._rankings.known(keyed(click.tenant, shown.offer), tables[OFFERS]) or shown
        if click.kind == "view":
            return (_event(click, "view", Charge(shown.decision, shown.offer, click.time_ms(), unit=told.unit)),)
        charge = Charge(shown.decision, shown.offer, click.time_ms(), told.cost, told.unit)
        context.history.charge(charge)
        return (_event(click, "redemption", charge),)


def _taken_back(context: OfferContext, reversal: Click) -> Iterable[Said]:
    return [_event(reversal, "reversal", charge) for charge in take_back(context, reversal)]


def _event(click: Click, kind: Happened, about: Charge) -> Said:
    """Say what happened with an offer that was shown; only a redemption costs, and its reversal gives that back."""
    event = OfferEvent(
        event_id=click.event_id,
        event_time=click.time_ms(),
        tenant=click.tenant,
        offer=about.offer,
        user=click.user,
        kind=kind,
        decision=about.decision,
        cost=about.cost,
        unit=about.unit,
    )
    return Said(OFFER_EVENTS, event)
