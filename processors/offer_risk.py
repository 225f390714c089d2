"""Risk: how likely it is that a customer's offers are abused, from the fraud scores and alerts of their payments."""

from bisect import bisect_left
from dataclasses import dataclass

import msgspec

from schemas.offer_results import CustomerRisk
from schemas.records import DAY
from schemas.results import Label

SUSPICIONS = 32
"""Most payments of a customer that are remembered as risky; the oldest go first."""


class Suspicion(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A payment that may be fraud: how likely in [0, 1], when that became known, and whether somebody was alerted."""

    event_id: str
    at: int
    probability: float
    alert: bool


Suspicions = list[Suspicion]

FADED = 64
"""Half-lives after which the most likely suspicion is lost in rounding."""


class Barred(msgspec.Struct, frozen=True, array_like=True):
    """Who is shown no offer, and the moment from which they are again unless anything else happens."""

    until: int
    tenant: str
    user: str


def suspect(suspicions: Suspicions, told: CustomerRisk | Label) -> None:
    """Take in a risky score, or what a payment turned out to be: fraud for sure, or nothing to suspect any more."""
    suspicions[:] = [known for known in suspicions if known.event_id != told.event_id]
    match told:
        case CustomerRisk():
            suspicions.append(Suspicion(told.event_id, told.event_time, told.probability, told.alert))
        case Label(fraud=True):
            suspicions.append(Suspicion(told.event_id, told.known_at, 1.0, alert=True))
    del suspicions[:-SUSPICIONS]


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """What a customer's risk does to their offers.

    A suspicion weighs half as much after each `half_life`. From the probability of abuse `bar` on, and for `hold` after
    an alert that nobody has resolved, no offer is shown. Where a suspicion is true, an offer is expected to lose
    `abuse_cost` times what a redemption costs: little, for most frauds are not the customer's own doing. Spans are
    milliseconds.
    """

    bar: float = 0.5
    half_life: int = 7 * DAY
    hold: int = DAY
    abuse_cost: float = 0.1

    def abuse(self, suspicions: Suspicions, time: int) -> float:
        """Return the probability in [0, 1] that some suspicion is true, as if each were so by itself (noisy or).

        1 − Π (1 − pᵢ · 2^(−(t − tᵢ) / half-life)) over all suspicions, none of which weighs more before its time.
        """
        innocent = 1.0
        for each in suspicions:
            innocent *= 1.0 - each.probability * 0.5 ** (max(0, time - each.at) / self.half_life)
        return 1.0 - innocent

    def bars(self, suspicions: Suspicions, time: int) -> bool:
        """Return whether the customer is shown no offer at `time`."""
        held = any(each.alert and time < each.at + self.hold for each in suspicions)
        return held or self.abuse(suspicions, time) >= self.bar

    def free_at(self, suspicions: Suspicions, time: int) -> int:
        """Return the first moment after `time` at which the customer is barred no longer, by what is known now.

        A bar that has ended does not begin again by itself: the moment is found by bisection, to the millisecond.
        """
        longest = max(self.hold, FADED * self.half_life)
        last = max((each.at + longest for each in suspicions), default=time)
        moments = range(time + 1, max(time, last) + 2)
        return moments[bisect_left(moments, True, key=lambda at: not self.bars(suspicions, at))]

    def loss(self, suspicions: Suspicions, time: int) -> float:
        """Return how many times its cost an offer shown now is expected to lose to abuse."""
        return self.abuse(suspicions, time) * self.abuse_cost if suspicions else 0.0
