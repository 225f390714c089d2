"""What the API answers: an envelope that says how fresh an answer is, around the result as it was stored.

The structs describe the answers, for OpenAPI and for clients. They are not built when answering: `spliced` puts the
stored bytes into the envelope as they are.
"""

from typing import Literal

import msgspec

from schemas.offer_results import OfferUsage, RankerVersion, Ranking
from schemas.recommendation_results import ItemDemand, Recommendations
from schemas.results import CardFeatures, FraudScore, ModelVersion
from sinks.base import Progress

Source = Literal[
    "model", "rules", "prior", "features", "models", "usage", "rankers", "recommender", "demand", "last_good"
]
"""What an answer was made from; a stale one is the last good one, and what made it stands in the result."""


class Ages(msgspec.Struct, frozen=True):
    """Milliseconds since the event that the answer is about, and since what it comes from last committed, if ever."""

    event_ms: int
    commit_ms: int | None


class Lag(msgspec.Struct, frozen=True):
    """For how many milliseconds the oldest record that the pipeline has not taken has waited, and how many wait."""

    ms: int
    records: int


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """How fresh an answer is and where it comes from.

    `as_of` is the newest event time in it, in milliseconds since 1970 UTC. `lag` is what waits before the processors
    that the answer comes from, None where nobody knows. `stale` says that it waits for too long or, where nobody knows,
    that they have not committed lately: newer events are missing. `model` and `version` made the scores; None where the
    answer has none. A ranking by rules or by the prior rate has version 0.
    """

    as_of: int
    ages: Ages
    stale: bool
    source: Source
    model: str | None
    version: int | None
    lag: Lag | None = None


class ScoreAnswer(Envelope, frozen=True, kw_only=True):
    """A fraud score. `feature_names` name its vector, where the feature set is known to this API."""

    feature_names: tuple[str, ...] | None
    score: FraudScore


class FeaturesAnswer(Envelope, frozen=True, kw_only=True):
    """A customer's features as of their newest event. `feature_names` name `features.customer`, where known."""

    feature_names: tuple[str, ...] | None
    features: CardFeatures


class ModelsAnswer(Envelope, frozen=True, kw_only=True):
    """The newest published version of each model; blobs are left out."""

    models: dict[str, ModelVersion]


class RankingAnswer(Envelope, frozen=True, kw_only=True):
    """The offers for a customer, from the top. `feature_names` name the vectors, where the feature set is known.

    `degraded` says that the ranking is less than it should be: made without the model, or the newest and long ago.
    """

    feature_names: tuple[str, ...] | None
    ranking: Ranking
    degraded: bool


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Views and redemptions per impression, and the cost of a redemption in the unit of the usage; None of nothing."""

    view: float | None
    redemption: float | None
    cost: float | None


class OfferStatsAnswer(Envelope, frozen=True, kw_only=True):
    """How often an offer was shown, seen and redeemed, and what that has cost."""

    rates: Rates
    usage: OfferUsage


class RankersAnswer(Envelope, frozen=True, kw_only=True):
    """The newest published version of each ranker; blobs are left out."""

    rankers: dict[str, RankerVersion]


class RecommendationsAnswer(Envelope, frozen=True, kw_only=True):
    """The items recommended to a customer, best first, each with its reason; `expired` says that they hold no more."""

    expired: bool
    recommendations: Recommendations


class DemandAnswer(Envelope, frozen=True, kw_only=True):
    """How many chose an item, how much that weighs by now, and the item's half of the rating model."""

    demand: ItemDemand


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether results can be read, how far each processor has come, and what waits for all of them."""

    status: Literal["ready"]
    stale: bool
    processors: dict[str, Progress]
    lag: Lag | None = None


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """That this process answers."""

    status: Literal["alive"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no answer, as RFC 9457 has it. `detail` says what to do."""

    type: str
    title: str
    status: int
    detail: str


class Head(msgspec.Struct, frozen=True):
    """The part of a stored result that its envelope needs."""

    event_time: int
    source: Literal["model", "rules", "prior", "last_good", "features"] = "features"
    model: str | None = None
    version: int | None = None
    features: str | None = None
    degraded: bool = False


head = msgspec.json.Decoder(Head).decode


def spliced(envelope: Envelope, **parts: bytes) -> bytes:
    """Return the envelope's JSON with `parts`, each JSON already, as further fields.

    >>> spliced(Envelope(as_of=1, ages=Ages(2, 3), stale=False, source="rules", model=None, version=None), a=b"[4]")
    b'{"as_of":1,"ages":{"event_ms":2,"commit_ms":3},"stale":false,"source":"rules","model":null,"version":null,"lag":null,"a":[4]}'
    """
    fields = (b',"%s":%s' % (name.encode(), value) for name, value in parts.items())
    return b"".join((msgspec.json.encode(envelope)[:-1], *fields, b"}"))
