"""Rewards: joins views and redemptions to the slot that showed the offer, and says an example when its time is over."""

from collections.abc import Iterable, Iterator
from math import log2
from sys import intern

import msgspec
from msgspec.structs import replace

from processors.base import Said, Tables
from processors.offer_history import DECISION_LIFE, remember
from processors.outcomes import packed, unpacked
from schemas.events import Click
from schemas.offer_results import Arm, OfferExample, RankedOffer, Ranking
from schemas.offer_topics import OFFER_EXAMPLES, RANKINGS
from schemas.records import AnyRecord, Due
from schemas.topics import CLICKS

MOST_WEIGHT = 2.0
"""No chance of being shown makes an example count more than so many others, nor less than one of so many.

Wider bounds cost rewards: what a good policy shows most would hardly be learned from.
"""


class Shown(msgspec.Struct, array_like=True):
    """A slot that is on its way to its outcome: what must be kept of it, and what has been seen and redeemed so far.

    Before its impression `at` is when the decision was made. The vector is packed as little-endian float64, NaN where
    missing.
    """

    decision: str
    offer: str
    at: int
    end: int
    model: str
    version: int
    score: float
    propensity: float
    features: str
    vector: bytes
    seen: int | None = None
    redeemed: int | None = None
    position: int = 1
    policy: str = "logged"
    weight: float = 1.0
    arm: Arm = "champion"
    trial: str = ""

    def __post_init__(self) -> None:
        # msgspec leaves a default out of a message only if it is the very same object, which a decoded text is not.
        self.policy = intern(self.policy)

    @property
    def label(self) -> bool:
        """Return whether some view came at or before some redemption."""
        return self.seen is not None and self.redeemed is not None and self.seen <= self.redeemed


class Unshown(msgspec.Struct, array_like=True):
    """A decision that was made here, with those of its slots that no impression has told of."""

    decision: str
    at: int
    slots: list[Shown]
    asked: bool = True


class Decisions(msgspec.Struct, array_like=True):
    """A customer's decisions that are not over yet; `due` is when the first of them is."""

    due: int | None
    tenant: str
    user: str
    open: list[Shown]
    unshown: list[Unshown] = []

    def __post_init__(self) -> None:
        # As above.
        self.tenant = intern(self.tenant)

    def wait(self) -> "Decisions | None":
        """Return this, due when the first of what it waits for is over; None where there is nothing left."""
        ends = [shown.end for shown in self.open] + [unshown.at + DECISION_LIFE for unshown in self.unshown]
        self.due = min(ends, default=None)
        return self if ends else None


class OfferRewards:
    """Folds a customer's rankings and clicks into one example for each rewarded offer that was shown.

    A slot of a ranking is learned from only if an impression told that it was shown, within `DECISION_LIFE`; its window
    begins then. A ranking that somebody else decided was shown when it was said. A view or redemption counts for every
    slot shown of its offer whose window it falls in, both ends included, or for those of the decision whose id it
    tells. The example is said when the watermark exceeds the window, never before: an early yes learned before the late
    noes would make offers look better than they are. A click that comes later, or is of nothing that was shown, changes
    nothing. An example weighs more the less likely it was to be shown, and less if it was far down and never seen.
    """

    name = "rewards"
    inputs = (CLICKS, RANKINGS)
    outputs = (OFFER_EXAMPLES,)
    tables = ()
    state = Decisions

    def step(
        self, state: Decisions | None, record: AnyRecord, tables: Tables
    ) -> tuple[Decisions | None, Iterable[Said]]:
        """Return the customer's open decisions, and the examples of those that are over."""
        match record.message:
            case Ranking() as ranking:
                return _decided(state or Decisions(None, ranking.tenant, ranking.user, []), ranking).wait(), ()
            case Click() as click:
                return None if state is None else _clicked(state, click).wait(), ()
            case Due(at=at):
                return _over(state, at)
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")


def _decided(state: Decisions, ranking: Ranking) -> Decisions:
    slots = [_kept(ranking, slot, position) for position, slot in enumerate(ranking.slots, 1) if slot.rewarded]
    if ranking.shown:
        state.open += [slot for slot in slots if not _is_open(state, slot)]
    elif all(unshown.decision != ranking.event_id for unshown in state.unshown):
        asked = ranking.trigger == "request"
        remember(state.unshown, Unshown(ranking.event_id, ranking.event_time, slots, asked))
    return state


def _is_open(state: Decisions, slot: Shown) -> bool:
    return any((shown.decision, shown.offer) == (slot.decision, slot.offer) for shown in state.open)


def _kept(ranking: Ranking, slot: RankedOffer, position: int) -> Shown:
    return Shown(
        ranking.event_id,
        slot.offer,
        ranking.event_time,
        slot.window_end,
        ranking.model,
        ranking.version,
        slot.score,
        slot.propensity,
        ranking.features,
        packed(slot.vector),
        position=position,
        policy=ranking.policy,
        weight=weight_of(slot.propensity, len(ranking.candidates) - position + 1),
        arm=ranking.arm,
        trial=ranking.trial,
    )


def weight_of(propensity: float, candidates: int) -> float:
    """Return how much an example counts: the chance of its offer had all been alike, over the chance that it had.

    What a policy hardly ever shows counts for more, as if offers had been shown at random; within 1 / `MOST_WEIGHT` and
    `MOST_WEIGHT` (truncated importance weights: Ionides, 2008). It is 1 where nothing was left to chance.
    """
    if propensity >= 1.0:
        return 1.0
    return min(MOST_WEIGHT, max(1.0 / MOST_WEIGHT, 1.0 / candidates / propensity))


def _clicked(state: Decisions, click: Click) -> Decisions:
    match click.kind:
        case "impression":
            _shown(state, click)
        case "view" | "redemption":
            _answered(state, click)
    return state


def examination(position: int) -> float:
    """Return the chance, relative to the top, that a slot is looked at: the discount of DCG (Järvelin and Kekäläinen,
    2002). So much less is said against an offer by not being seen far down.
    """
    return 1.0 / log2(position + 1)


def _shown(state: Decisions, click: Click) -> None:
    """Open the window of the slot that an impression tells of."""
    time = click.time_ms()
    for unshown in state.unshown:
        if unshown.decision != click.decision_id or not unshown.at <= time <= unshown.at + DECISION_LIFE:
            continue
        now = [slot for slot in unshown.slots if slot.offer == click.offer]
        unshown.slots = [slot for slot in unshown.slots if slot.offer != click.offer]
        state.open += [replace(slot, at=time, end=time + slot.end - slot.at) for slot in now]


def _answered(state: Decisions, click: Click) -> None:
    time = click.time_ms()
    for shown in state.open:
        if not _is_about(click, shown) or not shown.at <= time <= shown.end:
            continue
        if click.kind == "view":
            shown.seen = time if shown.seen is None else min(shown.seen, time)
        else:
            shown.redeemed = time if shown.redeemed is None else max(shown.redeemed, time)


def _is_about(click: Click, shown: Shown) -> bool:
    if click.decision_id is None:
        return click.offer == shown.offer
    return click.decision_id == shown.decision and click.offer in (None, shown.offer)


def _over(state: Decisions | None, at: int) -> tuple[Decisions | None, Iterable[Said]]:
    if state is None:
        return None, ()
    said = tuple(_examples(state, at))
    state.open = [shown for shown in state.open if shown.end > at]
    state.unshown = [unshown for unshown in state.unshown if unshown.at + DECISION_LIFE > at]
    return state.wait(), said


def _examples(state: Decisions, at: int) -> Iterator[Said]:
    for shown in state.open:
        if shown.end > at:
            continue
        example = OfferExample(
            event_id=f"{shown.decision}/{shown.offer}",
            event_time=shown.at,
            tenant=state.tenant,
            model=shown.model,
            user=state.user,
            offer=shown.offer,
            label=shown.label,
            matured_at=shown.end,
            score=shown.score,
            version=shown.version,
            features=shown.features,
            vector=unpacked(shown.vector),
            propensity=shown.propensity,
            weight=shown.weight * (examination(shown.position) if shown.seen is None else 1.0),
            decision=shown.decision,
            position=shown.position,
            policy=shown.policy,
            arm=shown.arm,
            trial=shown.trial,
        )
        yield Said(OFFER_EXAMPLES, example)
