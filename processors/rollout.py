"""Rolling out: counts what champion and challenger earn, and ends their trial on evidence or by order."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from online_models.sequential import Comparison, Evidence, Total
from online_models.slots import seed_of
from processors.base import Said, Tables
from processors.trial import Trial
from schemas.keys import keyed
from schemas.offer_results import OfferExample
from schemas.offer_topics import OFFER_EXAMPLES
from schemas.records import AnyRecord
from schemas.rollout_results import Course, Rollout, RolloutOrder
from schemas.rollout_topics import ROLLOUT_ORDERS, ROLLOUTS

BY_TEST = "test"
"""Who has decided where nobody did: the evidence."""

_BITS = 2**19
_MARKS = 3


class Counted(msgspec.Struct, array_like=True):
    """The customers that have been counted: a Bloom filter of 64 KiB.

    Somebody new may be taken for one of them, whichever arm they are in, and is then left out: 1 in 60 customers after
    50,000, 1 in 12 after 100,000, one in three after 200,000.
    """

    bits: bytearray = msgspec.field(default_factory=lambda: bytearray(_BITS // 8))

    def add(self, name: str) -> bool:
        """Take in a customer; return whether they are new."""
        hashed, new = seed_of(0, f"counted\n{name}"), False
        for _ in range(_MARKS):
            hashed, bit = divmod(hashed, _BITS)
            new = new or not self.bits[bit >> 3] >> (bit & 7) & 1
            self.bits[bit >> 3] |= 1 << (bit & 7)
        return new


class TrialState(msgspec.Struct, array_like=True):
    """How a trial stands; `said` counts what has been said of the model, `since` outcomes since then."""

    trial: str
    comparison: Comparison
    counted: Counted = msgspec.field(default_factory=Counted)
    state: Course = "running"
    matured_at: int = 0
    said: int = 0
    since: int = 0
    decided_at: int | None = None
    by: str = ""
    why: str = ""
    order: str = ""


@dataclass(frozen=True)
class StoppingRule:
    """When a trial is spoken of and ended: `every` so many outcomes, and by itself or by order alone.

    One that ends by itself does at evidence of 1 / `alpha`. ValueError for an alpha outside (0, 1).
    """

    alpha: float = 0.05
    by_itself: bool = False
    every: int = 100

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            raise ValueError(f"alpha must be in (0, 1), got {self.alpha}: it is the chance of being misled")


class OfferRollout:
    """Folds what customers' offers earned into the comparison of a trial's arms, and says how it stands.

    A customer counts once, by the first outcome of an offer on top of a ranking: a customer keeps their arm, so that
    their later outcomes are no new draw. How the trial stands is said at its first outcome, now and then after it, and
    when it ends: by order, or by itself, see StoppingRule. What has been decided is changed by order alone; outcomes of
    an ended trial, or of another one, are passed over. Where `trial` is not the one of before, it begins anew.
    """

    name = "rollout"
    inputs = (OFFER_EXAMPLES, ROLLOUT_ORDERS)
    outputs = (ROLLOUTS,)
    tables = ()
    state = TrialState

    def __init__(self, trial: Trial, rule: StoppingRule = StoppingRule()) -> None:
        self._trial = trial
        self._rule = rule

    def step(
        self, state: TrialState | None, record: AnyRecord, tables: Tables
    ) -> tuple[TrialState | None, Iterable[Said]]:
        """Return how the trial of the record's model stands, and that it does where there is news."""
        state = self._current(state)
        match record.message:
            case OfferExample() as example:
                return state, self._heard(state, example)
            case RolloutOrder() as order:
                return state, self._obeyed(state, order)
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")

    def _current(self, state: TrialState | None) -> TrialState:
        """Return the state of the trial that is asked for, new where the one there is is another's."""
        if state is not None and state.trial == self._trial.name:
            return state
        said = 0 if state is None else state.said
        return TrialState(self._trial.name, Comparison(self._trial.share), said=said)

    def _heard(self, state: TrialState, example: OfferExample) -> Iterable[Said]:
        if state.state != "running" or example.trial != state.trial or example.position != 1 or example.late:
            return ()
        if not state.counted.add(keyed(example.tenant, example.user)):
            return ()
        state.comparison.add(example.arm, example.earned)
        state.matured_at = max(state.matured_at, example.matured_at)
        state.since += 1
        ended = self._rule.by_itself and self._ended(state)
        if not ended and state.since < self._rule.every and state.comparison.outcomes > 1:
            return ()
        return (self._said(state, example.model),)

    def _ended(self, state: TrialState) -> bool:
        """End the trial if there is evidence enough; return whether there is."""
        evidence = state.comparison.evidence(self._rule.alpha)
        if max(evidence.better, evidence.worse) < 1.0 / self._rule.alpha:
            return False
        state.state = "promoted" if evidence.better > evidence.worse else "rolled_back"
        state.decided_at, state.by, state.why = state.matured_at, BY_TEST, self._grounds(state, evidence)
        return True

    def _grounds(self, state: TrialState, evidence: Evidence) -> str:
        challenger = _earned(self._trial.challenger, state.comparison.challenger)
        champion = _earned(self._trial.champion, state.comparison.champion)
        strength = f"evidence of {max(evidence.better, evidence.worse):.1f}"
        return f"{challenger}, {champion}: {strength}, the difference in [{evidence.low:.4f}, {evidence.high:.4f}]"

    def _obeyed(self, state: TrialState, order: RolloutOrder) -> Iterable[Said]:
        if order.trial != state.trial or order.event_id == state.order:
            return ()
        state.state, state.decided_at, state.order = order.state, order.given_at, order.event_id
        state.by, state.why = order.by, order.why
        state.matured_at = max(state.matured_at, order.event_time)
        return (self._said(state, order.model),)

    def _said(self, state: TrialState, model: str) -> Said:
        state.said += 1
        state.since = 0
        arms, evidence = state.comparison, state.comparison.evidence(self._rule.alpha)
        said = Rollout(
            event_id=f"{model}@{state.said}",
            event_time=state.matured_at,
            model=model,
            trial=state.trial,
            state=state.state,
            champion=self._trial.champion,
            challenger=self._trial.challenger,
            share=self._trial.share,
            champion_outcomes=arms.champion.outcomes,
            champion_mean=arms.champion.mean,
            challenger_outcomes=arms.challenger.outcomes,
            challenger_mean=arms.challenger.mean,
            **evidence._asdict(),
            alpha=self._rule.alpha,
            decided_at=state.decided_at,
            by=state.by,
            why=state.why,
            order=state.order,
        )
        return Said(ROLLOUTS, said)


def _earned(policy: str, total: Total) -> str:
    return f"{policy} earned {total.mean or 0.0:.4f} for {total.outcomes:,} customers"
