"""What headrace says about offers: rankings, what became of them, and the models that rank.

All times are milliseconds since 1970 UTC.
"""

from typing import Literal

import msgspec

from schemas.results import Result


class Ranking(Result, frozen=True, kw_only=True):
    """A decision on what to show a customer: every candidate with its score, and what was shown.

    `event_id` is the decision's id. `scores` are probabilities in [0, 1] that a candidate would be seen and then
    redeemed in its time, in the order of `candidates`. `propensity` in (0, 1] is how likely it was that `shown` was
    shown. `vector` is what the score of `shown` was made from, in the order of `features`, the name of a published
    feature set; `window_end` is the last moment at which what was shown can be redeemed. `rewarded` says whether there
    is anything to redeem.
    """

    user: str
    shown: str
    propensity: float
    candidates: tuple[str, ...]
    scores: tuple[float, ...]
    score: float
    source: Literal["model", "prior"]
    model: str
    version: int
    features: str
    vector: tuple[float | None, ...]
    window_end: int
    rewarded: bool = True


class OfferExample(Result, frozen=True, kw_only=True):
    """What became of an offer that was shown, with the vector stored when it was: what a ranker learns from.

    `label` is True when the customer saw the offer at or before redeeming it, both within its window. `matured_at` is
    the event time at which that window was over.
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


class RankerVersion(Result, frozen=True, kw_only=True):
    """A published version of a ranker: the signed blob, and what it had learned by then.

    `event_id` is "model@version"; `blob` is base64 of the signed snapshot; `metrics` are progressive, over examples
    that a version of the model had scored.
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
