"""Rewards: joins views and redemptions to the decision that showed the offer, and says one example when it is over."""

from collections.abc import Iterable, Iterator
from sys import intern

import msgspec

from processors.base import Said, Tables
from processors.outcomes import packed, unpacked
from schemas.events import Click
from schemas.offer_results import OfferExample, Ranking
from schemas.offer_topics import OFFER_EXAMPLES, RANKINGS
from schemas.records import AnyRecord, Due
from schemas.topics import CLICKS


class Decided(msgspec.Struct, array_like=True):
    """A decision on its way to its outcome: what must be kept of it, and what has been seen and redeemed so far.

    The vector is packed as little-endian float64, NaN where missing.
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

    @property
    def label(self) -> bool:
        """Return whether some view came at or before some redemption."""
        return self.seen is not None and self.redeemed is not None and self.seen <= self.redeemed


class Decisions(msgspec.Struct, array_like=True):
    """A customer's decisions that are not over yet; `due` is when the first of them is."""

    due: int | None
    tenant: str
    user: str
    open: list[Decided]

    def __post_init__(self) -> None:
        # msgspec leaves a default out of a message only if it is the very same object, which a decoded text is not.
        self.tenant = intern(self.tenant)


class OfferRewards:
    """Folds a customer's rankings and clicks into one example for each rewarded offer that was shown.

    A view or redemption counts for every decision on its offer whose window it falls in, both ends included, or for the
    one whose id it tells. The example is said when the watermark exceeds the window, never before: an early yes learned
    before the late noes would make offers look better than they are. A click that comes later changes nothing.
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
                return _opened(state, ranking), ()
            case Click() as click:
                _answered(state, click)
                return state, ()
            case Due(at=at):
                return _over(state, at)
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")


def _opened(state: Decisions | None, ranking: Ranking) -> Decisions | None:
    if not ranking.shown or not ranking.slots[0].rewarded:
        return state
    state = state or Decisions(None, ranking.tenant, ranking.user, [])
    if all(decided.decision != ranking.event_id for decided in state.open):
        state.open.append(_kept(ranking))
        state.due = min(decided.end for decided in state.open)
    return state


def _kept(ranking: Ranking) -> Decided:
    (slot,) = ranking.slots
    return Decided(
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
    )


def _answered(state: Decisions | None, click: Click) -> None:
    if state is None or click.kind not in ("view", "redemption"):
        return
    time = click.time_ms()
    for decided in state.open:
        if not _about(click, decided) or not decided.at <= time <= decided.end:
            continue
        if click.kind == "view":
            decided.seen = time if decided.seen is None else min(decided.seen, time)
        else:
            decided.redeemed = time if decided.redeemed is None else max(decided.redeemed, time)


def _about(click: Click, decided: Decided) -> bool:
    return click.offer == decided.offer if click.decision_id is None else click.decision_id == decided.decision


def _over(state: Decisions | None, at: int) -> tuple[Decisions | None, Iterable[Said]]:
    if state is None:
        return None, ()
    said = tuple(_examples(state, at))
    state.open = [decided for decided in state.open if decided.end > at]
    if not state.open:
        return None, said
    state.due = min(decided.end for decided in state.open)
    return state, said


def _examples(state: Decisions, at: int) -> Iterator[Said]:
    for decided in state.open:
        if decided.end > at:
            continue
        example = OfferExample(
            event_id=decided.decision,
            event_time=decided.at,
            tenant=state.tenant,
            model=decided.model,
            user=state.user,
            offer=decided.offer,
            label=decided.label,
            matured_at=decided.end,
            score=decided.score,
            version=decided.version,
            features=decided.features,
            vector=unpacked(decided.vector),
            propensity=decided.propensity,
        )
        yield Said(OFFER_EXAMPLES, example)
