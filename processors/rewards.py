"""Rewards: joins clicks to the slot that showed the offer, says an example when its time is over, and corrects it."""

from collections.abc import Iterable, Iterator, Mapping
from sys import intern
from types import MappingProxyType

import msgspec
from msgspec.structs import replace

from processors.base import Said, Tables
from processors.offer_history import DECISION_LIFE, remember
from processors.outcomes import unpacked
from processors.reward_slots import Shown, examination, kept
from processors.reward_terms import RewardKind, RewardTerm, RewardTerms, is_readable
from schemas.events import Click
from schemas.keys import keyed
from schemas.offer_results import OfferExample, Ranking, RewardStray, StrayReason
from schemas.offer_topics import OFFER_EXAMPLES, RANKINGS, REWARD_STRAYS
from schemas.records import DAY, AnyRecord, Due
from schemas.topics import CLICKS, OFFERS

CORRECTABLE = 32
"""Most slots of a customer whose example may still be corrected; the oldest go first."""


class Unshown(msgspec.Struct, array_like=True):
    """A decision that was made here, with those of its slots that no impression has told of."""

    decision: str
    at: int
    slots: list[Shown]
    asked: bool = True


class Decisions(msgspec.Struct, array_like=True):
    """A customer's decisions that are not over yet; `due` is when the first of them is.

    `said` are the slots whose example was said and may still be corrected, no more than `CORRECTABLE`.
    """

    due: int | None
    tenant: str
    user: str
    open: list[Shown]
    unshown: list[Unshown] = []
    said: list[Shown] = []

    def __post_init__(self) -> None:
        # msgspec leaves a default out of a message only if it is the very same object, which a decoded text is not.
        self.tenant = intern(self.tenant)

    def has(self, slot: Shown) -> bool:
        """Return whether a slot was shown and is not forgotten."""
        return any((shown.decision, shown.offer) == (slot.decision, slot.offer) for shown in (*self.open, *self.said))

    def knows(self, decision: str) -> bool:
        """Return whether a decision was made and is not forgotten."""
        shown = any(each.decision == decision for each in (*self.open, *self.said))
        return shown or any(each.decision == decision for each in self.unshown)


class OfferRewards:
    """Folds a customer's rankings and clicks into one example for each rewarded offer that was shown.

    A slot of a ranking is learned from only if an impression told that it was shown, within `DECISION_LIFE`; its window
    begins then. A ranking that somebody else decided was shown when it was said. `terms` say what a click of each kind
    is worth and how long it is waited for (see `RewardTerms`; without any, a view and then a redemption within the
    offer's window is 1). A click counts for every slot shown of its offer that it is in time for, or for those of the
    decision whose id it tells. The example is said when the watermark exceeds the last wait, never before: an early yes
    learned before the late noes would make offers look better than they are. It weighs more the less likely it was to
    be shown, and less if it was far down and never seen.

    For `late_horizon` milliseconds after that, what changes the reward corrects the example: one more is said, marked
    late, with the reward that was said before. A late click counts for the slot shown last of those it may be about,
    and for none where it is in time for another. A reversal takes back what was redeemed or purchased until then: of an
    example not yet said it only isn't counted. A click that comes twice changes nothing. What should earn or take back
    a reward and is about no slot that was shown is said to be a stray, with the reason.
    """

    name = "rewards"
    inputs = (CLICKS, RANKINGS)
    outputs = (OFFER_EXAMPLES, REWARD_STRAYS)
    tables = (OFFERS,)
    state = Decisions

    def __init__(
        self, terms: Mapping[RewardKind, RewardTerm] = MappingProxyType({}), late_horizon: int = 7 * DAY
    ) -> None:
        self._terms = RewardTerms(terms, late_horizon)

    def step(
        self, state: Decisions | None, record: AnyRecord, tables: Tables
    ) -> tuple[Decisions | None, Iterable[Said]]:
        """Return the customer's open decisions, and what is said: examples, corrections and strays."""
        match record.message:
            case Ranking() as ranking:
                return self._waiting(_decided(state or Decisions(None, ranking.tenant, ranking.user, []), ranking)), ()
            case Click(kind="impression") as click:
                return None if state is None else self._waiting(_shown(state, click)), ()
            case Click() as click if click.kind in self._terms.heard:
                return state, self._clicked(state, click, tables)
            case Click():
                return state, ()
            case Due(at=at):
                return (None, ()) if state is None else self._over(state, at)
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")

    def _waiting(self, state: Decisions) -> Decisions | None:
        """Return the state, due when the first of what it waits for is over; None where there is nothing left."""
        ends = [self._terms.over(shown) for shown in state.open]
        ends += [unshown.at + DECISION_LIFE for unshown in state.unshown]
        ends += [self._terms.forgotten(shown) for shown in state.said]
        state.due = min(ends, default=None)
        return state if ends else None

    def _clicked(self, state: Decisions | None, click: Click, tables: Tables) -> Iterable[Said]:
        time, terms = click.time_ms(), self._terms
        known = () if state is None else (*state.open, *state.said)
        about = [shown for shown in known if click.is_about(shown.decision, shown.offer)]
        meant = [shown for shown in about if terms.in_time(shown, click.kind, time)]
        if not meant:
            late = [shown for shown in about if terms.is_late(shown, click.kind, time)]
            meant = sorted(late, key=lambda shown: shown.at)[-1:]
        if state is None or not meant or not is_readable(click):
            return self._stray(click, _reason(state, click, about, tables))
        for shown in meant:
            terms.take(shown, click)
        return [said for shown in meant for said in self._corrected(state, shown, time)]

    def _stray(self, click: Click, reason: StrayReason) -> Iterable[Said]:
        """Say that a click earned nothing, where it was to earn something or to take it back."""
        if click.kind not in self._terms.earning:
            return ()
        stray = RewardStray(
            event_id=click.event_id,
            event_time=click.time_ms(),
            tenant=click.tenant,
            user=click.user,
            kind=click.kind,
            reason=reason,
            offer=click.offer or "",
            decision=click.decision_id or "",
        )
        return (Said(REWARD_STRAYS, stray),)

    def _over(self, state: Decisions, at: int) -> tuple[Decisions | None, Iterable[Said]]:
        matured = [shown for shown in state.open if self._terms.over(shown) <= at]
        said = [said for shown in matured for said in self._matured(state, shown)]
        state.open = [shown for shown in state.open if self._terms.over(shown) > at]
        state.unshown = [unshown for unshown in state.unshown if unshown.at + DECISION_LIFE > at]
        correctable = [shown for shown in (*state.said, *matured) if self._terms.forgotten(shown) > at]
        state.said = correctable[-CORRECTABLE:]
        return self._waiting(state), said

    def _matured(self, state: Decisions, shown: Shown) -> Iterator[Said]:
        over = self._terms.over(shown)
        if shown.seen is None:
            shown.weight *= examination(shown.position)
        yield _example(state, shown, self._terms.reward(shown), over)
        yield from self._corrected(state, shown, over)

    def _corrected(self, state: Decisions, shown: Shown, at: int) -> Iterator[Said]:
        """Say what became known at `at`, where it changes a reward that was said."""
        reward = self._terms.reward(shown, late=True)
        if shown.told not in (None, reward):
            yield _example(state, shown, reward, at)


def _decided(state: Decisions, ranking: Ranking) -> Decisions:
    slots = [kept(ranking, slot, position) for position, slot in enumerate(ranking.slots, 1) if slot.rewarded]
    if ranking.shown:
        state.open += [slot for slot in slots if not state.has(slot)]
    elif all(unshown.decision != ranking.event_id for unshown in state.unshown):
        asked = ranking.trigger == "request"
        remember(state.unshown, Unshown(ranking.event_id, ranking.event_time, slots, asked))
    return state


def _shown(state: Decisions, click: Click) -> Decisions:
    """Open the window of the slot that an impression tells of."""
    time = click.time_ms()
    for unshown in state.unshown:
        if unshown.decision != click.decision_id or not unshown.at <= time <= unshown.at + DECISION_LIFE:
            continue
        now = [slot for slot in unshown.slots if slot.offer == click.offer]
        unshown.slots = [slot for slot in unshown.slots if slot.offer != click.offer]
        state.open += [replace(slot, at=time, end=time + slot.end - slot.at) for slot in now]
    return state


def _reason(state: Decisions | None, click: Click, about: list[Shown], tables: Tables) -> StrayReason:
    """Return why a click is about no slot that it could count for."""
    if not is_readable(click):
        return "no_value"
    if about:
        return "out_of_time"
    if click.offer is None and click.decision_id is None:
        return "no_decision"
    if click.offer is not None and keyed(click.tenant, click.offer) not in tables[OFFERS]:
        return "unknown_offer"
    if click.decision_id is not None and (state is None or not state.knows(click.decision_id)):
        return "unknown_decision"
    return "never_shown"


def _example(state: Decisions, shown: Shown, reward: float, at: int) -> Said:
    """Say that a slot had this reward, as became known at `at`; what is not the first says it corrects."""
    before, shown.told, shown.told_at = shown.told, reward, max(at, shown.told_at)
    example = OfferExample(
        event_id=f"{shown.decision}/{shown.offer}",
        event_time=shown.at,
        tenant=state.tenant,
        model=shown.model,
        user=state.user,
        offer=shown.offer,
        label=shown.label,
        matured_at=shown.told_at,
        score=shown.score,
        version=shown.version,
        features=shown.features,
        vector=unpacked(shown.vector),
        propensity=shown.propensity,
        weight=shown.weight,
        decision=shown.decision,
        position=shown.position,
        policy=shown.policy,
        arm=shown.arm,
        trial=shown.trial,
        reward=None if reward == shown.label else reward,
        late=before is not None,
        before=before,
    )
    return Said(OFFER_EXAMPLES, example)
