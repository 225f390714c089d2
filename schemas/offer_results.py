"""What headrace says about offers: rankings, what became of them, and the models that rank.

All times are milliseconds since 1970 UTC.
"""

from typing import Literal

import msgspec

from schemas.results import Reason, Result


class RankedOffer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An offer in a slot of a ranking, with what it was chosen on.

    `score` is the probability in [0, 1] that it would be seen and then redeemed in its time. `value` is what showing it
    is expected to earn, in `unit`: the score times margin minus cost, less `abuse`, what is expected to be lost to
    abuse; it is the score itself where the offer tells no margin.
    `propensity` in (0, 1] is P(this offer in this slot | the slots above). `vector` is what the score was made from, in
    the order of the ranking's `features`; `window_end` is the last moment at which it can be redeemed if it is shown
    when the ranking was made. `rewarded` says whether there is anything to redeem.
    """

    offer: str
    score: float
    value: float
    propensity: float
    window_end: int
    vector: tuple[float | None, ...]
    rewarded: bool = True
    unit: str = ""
    reasons: tuple[Reason, ...] = ()
    abuse: float = 0.0


Trigger = Literal["request", "event", "due", "risk"]
"""What a ranking was made after: a request, an event of the customer's own, the wait behind one, or what it risked."""

Arm = Literal["champion", "challenger"]


class FirstChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy that did not decide would have put on top, and with what chance in (0, 1]."""

    policy: str
    offer: str
    propensity: float


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far a model that does not decide would order the candidates as the rules do.

    `top` says whether both prefer the same candidate, `pairs` in [0, 1] of how many pairs that the rules tell apart the
    model prefers the same one, a pair alike to it counting half; None where the rules tell none apart.
    """

    version: int
    top: bool
    pairs: float | None


class Ranking(Result, frozen=True, kw_only=True):
    """A decision on what to show a customer: the slots from the top, and every candidate that might have been in them.

    `event_id` is the decision's id. `scores` are those of `candidates`, which were eligible; `refused` has the others
    and why. `source` says what made the scores: the `version` of `model`, the rules, or the prior rate of all offers.
    `features` names the published feature set of the vectors. `degraded` says that something the ranking needed was
    missing: then the customer's last good ranking, made at `good_at`, is served again as far as it may be, with the
    scores and version of then, else the rules rank.

    `shown` says that somebody else decided, as an impression told: the one slot has what was shown, and
    `policy` is "logged". `trigger` says what it was made after: the decision's id is that of the request, of the event
    of the customer's own, or of what was said of its risk; `user@time` where a risk was over by itself at that time.

    `arm` is whose policy decided. `trial` names the comparison of champion and challenger that the decision is part of,
    "" for none, and `shadow` is then what the other arm would have put on top. `agreement` is that of a model which
    only imitates the rules.
    """

    user: str
    slots: tuple[RankedOffer, ...]
    candidates: tuple[str, ...]
    scores: tuple[float, ...]
    source: Literal["model", "rules", "prior", "last_good"]
    policy: str
    model: str
    version: int
    features: str
    refused: dict[str, str] = msgspec.field(default_factory=dict)
    degraded: bool = False
    shown: bool = False
    arm: Arm = "champion"
    trial: str = ""
    shadow: FirstChoice | None = None
    agreement: Agreement | None = None
    trigger: Trigger = "request"
    good_at: int | None = None


Happened = Literal["impression", "view", "redemption", "reversal"]


class OfferEvent(Result, frozen=True, kw_only=True):
    """Something that happened with an offer, sent to those who count for the offer what it has cost.

    `decision` is the ranking it goes back to; `cost` is what a redemption cost, in `unit`. A reversal takes one
    redemption back, with what that had cost; a click that takes back several is told once for each of them.
    """

    offer: str
    user: str
    kind: Happened
    decision: str
    cost: float = 0.0
    unit: str = ""


class CustomerRisk(Result, frozen=True, kw_only=True):
    """A payment that was not simply approved, sent to those who know the customer.

    `event_id` is the payment's; `probability` in [0, 1] that it is fraud, and `alert` whether somebody looks at it.
    """

    user: str
    probability: float
    alert: bool = False


class OfferUsage(Result, frozen=True, kw_only=True):
    """How often an offer has been shown, seen and redeemed, and what that has cost by then, in `unit`.

    `event_id` is that of the event that was counted last. `redemptions` and `spent` are without those that were taken
    back; `reversals` is how many these are.
    """

    offer: str
    impressions: int
    redemptions: int
    spent: float
    views: int = 0
    unit: str = ""
    reversals: int = 0

    @property
    def counted(self) -> int:
        """How many events were counted by then, which orders what is said of an offer: no other count only grows."""
        return self.impressions + self.views + self.redemptions + 2 * self.reversals


class OfferExample(Result, frozen=True, kw_only=True):
    """What became of an offer that was shown, with the vector stored when it was: what a ranker learns from.

    `label` is True when the customer saw the offer at or before redeeming it, both within its window. `matured_at` is
    the event time at which that window was over. `decision` is the ranking it goes back to, `position` the slot it was
    in, from 1, and `policy` what had filled it; `weight` is how much it counts in learning. `arm` and `trial` are those
    of the ranking. `reward` in [0, 1] is what it earned by the declared terms; None is the label as 0 or 1. An example
    that is `late` corrects one that was said, with the reward `before` and the same weight: something came late, or was
    taken back.
    """

    model: str
    user: str
    offer: str
    label: bool
    matured_at: int
    score: float
    version: int
    features: str
    vector: tuple[float | None, ...]
    propensity: float
    weight: float = 1.0
    decision: str = ""
    position: int = 1
    policy: str = "logged"
    arm: Arm = "champion"
    trial: str = ""
    reward: float | None = None
    late: bool = False
    before: float | None = None

    @property
    def earned(self) -> float:
        """The reward in [0, 1], which is the label unless it is told."""
        return float(self.label) if self.reward is None else self.reward


StrayReason = Literal["no_decision", "unknown_offer", "unknown_decision", "never_shown", "out_of_time", "no_value"]


class RewardStray(Result, frozen=True, kw_only=True):
    """A click that was to earn a reward or to take one back, and is about nothing that it could count for.

    `event_id` is the click's. `reason` is what keeps it from counting: it names no offer and no decision; its offer is
    not in the catalogue; its decision is not, or no longer, known of this customer; its offer was not shown to them, as
    far as is still known; it was, but not then; or it is a rating without a number.
    """

    user: str
    kind: str
    reason: StrayReason
    offer: str = ""
    decision: str = ""


class RankerVersion(Result, frozen=True, kw_only=True):
    """A published version of a ranker: the signed blob, and what it had learned by then.

    `event_id` is "model@version"; `blob` is base64 of the signed snapshot; `metrics` are progressive, over examples
    that a version of the model had scored. A version that was not learned but ordered tells the id of the ModelOrder
    and why it was given. `last` is the mark of the example learned last, "" where that is not known.
    """

    model: str
    version: int
    digest: str
    blob: str
    features: str
    examples: int
    rewarded: int
    learned_through: int
    metrics: dict[str, float] = msgspec.field(default_factory=dict)
    order: str = ""
    why: str = ""
    last: str = ""
