"""A slot that was shown, on its way to its reward: what is kept of it, and what has come of it so far."""

from math import log2
from sys import intern

import msgspec

from processors.outcomes import packed
from schemas.offer_results import Arm, RankedOffer, Ranking

MOST_WEIGHT = 2.0
"""No chance of being shown makes an example count more than so many others, nor less than one of so many.

Wider bounds cost rewards: what a good policy shows most would hardly be learned from.
"""


class Came(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The click of a kind that counts: when it was, and its value in [0, 1]."""

    at: int
    value: float = 1.0


class Shown(msgspec.Struct, array_like=True):
    """A slot that was shown, or may be: before its impression `at` is when the decision was made.

    The vector is packed as little-endian float64, NaN where missing. `seen` is the first view, `redeemed` the last
    redemption within the offer's window, `reversed_at` the last reversal. `came` has what came of each declared kind
    within its wait, and `after` what came later. `told` is the reward that was said last, known at `told_at`.
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
    came: dict[str, Came] = {}
    after: dict[str, Came] = {}
    reversed_at: int | None = None
    told: float | None = None
    told_at: int = 0

    def __post_init__(self) -> None:
        # msgspec leaves a default out of a message only if it is the very same object, which a decoded text is not.
        self.policy = intern(self.policy)

    @property
    def label(self) -> bool:
        """Return whether some view came at or before some redemption that nobody took back, both in the window."""
        return self.is_success(self.seen, self.redeemed)

    def is_success(self, seen: int | None, redeemed: int | None) -> bool:
        """Return whether an offer first seen and last redeemed at these times was taken up."""
        return seen is not None and redeemed is not None and seen <= redeemed and self.stands(redeemed)

    def stands(self, redeemed: int) -> bool:
        """Return whether no reversal came at or after a redemption."""
        return self.reversed_at is None or redeemed > self.reversed_at


def kept(ranking: Ranking, slot: RankedOffer, position: int) -> Shown:
    """Return what is kept of a slot of a ranking."""
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


def examination(position: int) -> float:
    """Return the chance, relative to the top, that a slot is looked at: the discount of DCG (Järvelin and Kekäläinen,
    2002). So much less is said against an offer by not being seen far down.
    """
    return 1.0 / log2(position + 1)
