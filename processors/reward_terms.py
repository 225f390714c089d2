"""Reward terms: what each kind of click is worth, how long it is waited for, and how these come to one reward."""

from collections.abc import Mapping
from math import isfinite
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from processors.reward_slots import Came, Shown
from schemas.durations import milliseconds
from schemas.events import Click

RewardKind = Literal["view", "click", "dismiss", "skip", "wishlist", "activation", "redemption", "purchase", "rating"]
Wait = Annotated[int | None, BeforeValidator(lambda span: None if span is None else milliseconds(span)), Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]

JOINT = frozenset({"view", "redemption"})
"""What the reward is made of where no terms are declared, and the label always."""

REVERSIBLE = frozenset({"redemption", "purchase"})


class RewardTerm(BaseModel):
    """What a kind of click adds to the reward: `weight` times its value in [0, 1].

    A click that comes within `wait` of the impression, both ends included, has the value 1; a rating has its own, from
    `low` to `high` scaled to [0, 1], and of several the `first`, the `last` or the `max` counts. Where none comes the
    value is `default`. Without a `wait` it is waited for as long as the offer can be redeemed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: Annotated[float, Field(ge=-1, le=1)]
    wait: Wait = None
    default: Share = 0.0
    aggregate: Literal["first", "last", "max"] = "last"
    low: Annotated[float, Field(allow_inf_nan=False)] | None = None
    high: Annotated[float, Field(allow_inf_nan=False)] | None = None

    def value(self, click: Click) -> float:
        """Return what a click counts, in [0, 1]: 1 unless it is a rating."""
        if self.low is None or self.high is None or click.value is None:
            return 1.0
        return min(max((click.value - self.low) / (self.high - self.low), 0.0), 1.0)


def _scaled(terms: dict[RewardKind, RewardTerm]) -> dict[RewardKind, RewardTerm]:
    for kind, term in terms.items():
        if kind != "rating" and (term.low is not None or term.high is not None):
            raise ValueError(f"{kind} has no value to scale: only a rating has `low` and `high`")
        if kind == "rating" and (term.low is None or term.high is None or term.low >= term.high):
            raise ValueError("a rating needs `low` and a higher `high`, the least and the most that it can be")
    return terms


DeclaredTerms = Annotated[dict[RewardKind, RewardTerm], AfterValidator(_scaled)]


def is_readable(click: Click) -> bool:
    """Return whether a click has the value that it is to tell: a rating that is a number."""
    return click.kind != "rating" or (click.value is not None and isfinite(click.value))


class RewardTerms:
    """What comes of a slot, as a reward in [0, 1].

    Without declared terms it is the label as 0 or 1: some view at or before some redemption, both within the offer's
    window. With them it is the sum of what they add, cut off at 0 and 1. A redemption or purchase that a reversal at
    the same time or later took back is as if it had never come. What comes after its wait, by no more than `horizon`
    milliseconds, is late: it counts only in what is said to correct.
    """

    def __init__(self, terms: Mapping[RewardKind, RewardTerm], horizon: int) -> None:
        self._terms: dict[str, RewardTerm] = {str(kind): term for kind, term in terms.items()}
        self._horizon = horizon
        self.earning = frozenset(self._terms or {"redemption"}) | {"reversal"}
        self.heard = self.earning | JOINT

    def over(self, shown: Shown) -> int:
        """Return when the last of what a slot is waited for is over."""
        if not self._terms:
            return shown.end
        return max(self._until(shown, kind) for kind in self._terms)

    def forgotten(self, shown: Shown) -> int:
        """Return until when what comes of a slot still corrects."""
        return self.over(shown) + self._horizon

    def in_time(self, shown: Shown, kind: str, time: int) -> bool:
        """Return whether a click of a kind is in time for a slot: for its reward, its label, or to be a reversal."""
        return shown.at <= time <= self._latest(shown, kind)

    def is_late(self, shown: Shown, kind: str, time: int) -> bool:
        """Return whether a click of a kind is too late for a slot to count, yet not to correct."""
        counts = kind in (self._terms or JOINT)
        return counts and 0 < time - self._until(shown, kind) <= self._horizon

    def take(self, shown: Shown, click: Click) -> None:
        """Let a slot have a click that is in time or late for it. Twice is as once, and the order does not matter."""
        time, kind = click.time_ms(), click.kind
        if kind == "reversal":
            shown.reversed_at = time if shown.reversed_at is None else max(shown.reversed_at, time)
        elif self.is_late(shown, kind, time):
            self._keep(shown.after, click)
        elif kind in self._terms and time <= self._until(shown, kind):
            self._keep(shown.came, click)
        if kind == "view" and time <= shown.end:
            shown.seen = time if shown.seen is None else min(shown.seen, time)
        elif kind == "redemption" and time <= shown.end:
            shown.redeemed = time if shown.redeemed is None else max(shown.redeemed, time)

    def reward(self, shown: Shown, *, late: bool = False) -> float:
        """Return the reward of a slot by what came in time, or with what was `late`."""
        after = shown.after if late else {}
        if not self._terms:
            return float(_is_success(shown, after))
        total = sum(term.weight * self._value(shown, kind, after) for kind, term in self._terms.items())
        return min(max(total, 0.0), 1.0)

    def _latest(self, shown: Shown, kind: str) -> int:
        if kind == "reversal":
            return self.forgotten(shown)
        until = self._until(shown, kind)
        return max(until, shown.end) if kind in JOINT else until

    def _until(self, shown: Shown, kind: str) -> int:
        term = self._terms.get(kind)
        return shown.end if term is None or term.wait is None else shown.at + term.wait

    def _keep(self, came: dict[str, Came], click: Click) -> None:
        kind, term = click.kind, self._terms.get(click.kind)
        new = Came(click.time_ms(), 1.0 if term is None else term.value(click))
        came[kind] = self._that_counts(kind, [new, came[kind]] if kind in came else [new])

    def _value(self, shown: Shown, kind: str, after: Mapping[str, Came]) -> float:
        found = [came[kind] for came in (shown.came, after) if kind in came]
        if kind in REVERSIBLE:
            found = [came for came in found if shown.stands(came.at)]
        return self._that_counts(kind, found).value if found else self._terms[kind].default

    def _that_counts(self, kind: str, came: list[Came]) -> Came:
        """Return which of the clicks of a kind counts; of those that all have the value 1, it is the last."""
        order = self._terms[kind].aggregate if kind == "rating" else "first" if kind == "view" else "last"
        if order == "first":
            return min(came, key=lambda each: (each.at, -each.value))
        return max(came, key=lambda each: (each.value, each.at) if order == "max" else (each.at, each.value))


def _is_success(shown: Shown, after: Mapping[str, Came]) -> bool:
    """Return whether a view came at or before a redemption, what came after the window included."""
    seen, redeemed = shown.seen, shown.redeemed
    if seen is None and "view" in after:
        seen = after["view"].at
    if "redemption" in after:
        redeemed = after["redemption"].at
    return shown.is_success(seen, redeemed)
