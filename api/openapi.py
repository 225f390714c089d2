"""The OpenAPI description: schemas of the answers as their structs have them, with an example of each."""

from typing import Any

import msgspec
from fastapi import FastAPI

from api.answers import (
    Ages,
    Alive,
    DemandAnswer,
    Envelope,
    FeaturesAnswer,
    Lag,
    ModelsAnswer,
    OfferStatsAnswer,
    Problem,
    RankersAnswer,
    RankingAnswer,
    Rates,
    Ready,
    RecommendationsAnswer,
    ScoreAnswer,
)
from schemas.offer_results import OfferUsage, RankedOffer, RankerVersion, Ranking
from schemas.recommendation_results import ItemDemand, Recommendations, Suggestion
from schemas.results import CardFeatures, FraudScore, ModelVersion, Reason
from sinks.base import Progress

TITLE = "headrace"
DESCRIPTION = (
    "Fraud scores, features, offers, recommendations and models as the pipeline last committed them. "
    "Nothing is scored here."
)
_REF = "#/components/schemas/{name}"
_NOON = 1_530_446_400_000
_ENVELOPE: dict[str, Any] = {"as_of": _NOON, "ages": Ages(1_200, 40), "stale": False, "lag": Lag(0, 0)}


def answered(answer: type[Envelope | Ready | Alive]) -> dict[int | str, dict[str, Any]]:
    """Return the success of a route for its OpenAPI description."""
    schema = {"$ref": _REF.format(name=answer.__name__)}
    ok = {"description": str(answer.__doc__).partition("\n")[0]}
    answers: dict[int | str, dict[str, Any]] = {200: ok | {"content": {"application/json": {"schema": schema}}}}
    if issubclass(answer, Envelope):
        answers[304] = {"description": "The client holds this answer already, by its ETag in If-None-Match."}
    return answers


def describe(app: FastAPI) -> None:
    """Put the schema and an example of every answer into the app's OpenAPI description, once all routes are there."""
    _, schemas = msgspec.json.schema_components([*_EXAMPLES, Problem], ref_template=_REF)
    described = app.openapi()
    described.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    # Put in last, for FastAPI would leave the nulls out of them.
    examples = {_REF.format(name=answer.__name__): msgspec.to_builtins(one) for answer, one in _EXAMPLES.items()}
    for path in described["paths"].values():
        content = path["get"]["responses"]["200"]["content"].get("application/json")
        if content:
            content["example"] = examples[content["schema"]["$ref"]]


_SCORE = FraudScore(
    event_id="tx-1",
    event_time=_NOON,
    user="customer-1",
    terminal="terminal-1",
    amount=412.0,
    currency="EUR",
    score=0.91,
    probability=0.84,
    risk=84,
    decision="review",
    source="model",
    model="fraud",
    version=12,
    features="card.1",
    vector=(412.0, 6.1),
    reasons=(Reason("amount_ratio", 1.7, "amount 412.00 is 6.1× this customer's usual 67.30"),),
    other=0.4,
    intercept=0.2,
)
_FEATURES = CardFeatures(
    event_id="tx-1",
    event_time=_NOON,
    user="customer-1",
    terminal="terminal-1",
    amount=412.0,
    currency="EUR",
    customer=(412.0, 6.1),
)
_VERSION = ModelVersion(
    event_id="fraud@12",
    event_time=_NOON,
    model="fraud",
    version=12,
    kind="additive",
    digest="9f2c",
    blob="",
    features="card.1",
    examples=120_000,
    frauds=960,
    learned_through=_NOON,
    metrics={"auc": 0.88},
)
_NAMES = ("amount", "amount_ratio")
_RANKING = Ranking(
    event_id="request-1",
    event_time=_NOON,
    user="customer-1",
    slots=(
        RankedOffer(
            offer="coffee-5",
            score=0.42,
            value=1.26,
            propensity=0.95,
            window_end=_NOON + 604_800_000,
            vector=(24.0, 5.0),
            unit="EUR",
            reasons=(Reason("weekly_spend", 0.8, "You spend 24.00 a week here; this returns 5.00 on 20.00"),),
        ),
    ),
    candidates=("books-10", "coffee-5"),
    scores=(0.11, 0.42),
    source="model",
    policy="epsilon-greedy",
    model="offers",
    version=7,
    features="offer.1",
    refused={"wine-3": "paused"},
)
_USAGE = OfferUsage(
    event_id="click-9",
    event_time=_NOON,
    offer="coffee-5",
    impressions=1_000,
    views=400,
    redemptions=150,
    spent=750.0,
    unit="EUR",
)
_RANKER = RankerVersion(
    event_id="offers@7",
    event_time=_NOON,
    model="offers",
    version=7,
    digest="41d0",
    blob="",
    features="offer.1",
    examples=60_000,
    rewarded=19_000,
    learned_through=_NOON,
    metrics={"auc": 0.79},
)
_RECOMMENDATIONS = Recommendations(
    event_id="click-1",
    event_time=_NOON,
    user="customer-1",
    expires_at=_NOON + 86_400_000,
    items=(
        Suggestion(
            item="book-7",
            score=0.71,
            part="content",
            reason="You chose 4 books items; this is books too",
            parts={"collaborative": 0.74, "content": 0.8, "trending": 0.55},
        ),
    ),
    weights={"collaborative": 0.4, "content": 0.35, "trending": 0.25},
)
_DEMAND = ItemDemand(event_id="click-9", event_time=_NOON, item="book-7", weight=3.5, count=41, rated=12, bias=0.3)
_EXAMPLES: dict[Any, msgspec.Struct] = {
    ScoreAnswer: ScoreAnswer(
        **_ENVELOPE, source="model", model="fraud", version=12, feature_names=_NAMES, score=_SCORE
    ),
    FeaturesAnswer: FeaturesAnswer(
        **_ENVELOPE, source="features", model=None, version=None, feature_names=_NAMES, features=_FEATURES
    ),
    ModelsAnswer: ModelsAnswer(**_ENVELOPE, source="models", model=None, version=None, models={"fraud": _VERSION}),
    RankingAnswer: RankingAnswer(
        **_ENVELOPE,
        source="model",
        model="offers",
        version=7,
        feature_names=("weekly_spend", "reward"),
        ranking=_RANKING,
        degraded=False,
    ),
    OfferStatsAnswer: OfferStatsAnswer(
        **_ENVELOPE,
        source="usage",
        model=None,
        version=None,
        rates=Rates(view=0.4, redemption=0.15, cost=5.0),
        usage=_USAGE,
    ),
    RankersAnswer: RankersAnswer(**_ENVELOPE, source="rankers", model=None, version=None, rankers={"offers": _RANKER}),
    RecommendationsAnswer: RecommendationsAnswer(
        **_ENVELOPE,
        source="recommender",
        model=None,
        version=None,
        expired=False,
        recommendations=_RECOMMENDATIONS,
    ),
    DemandAnswer: DemandAnswer(**_ENVELOPE, source="demand", model=None, version=None, demand=_DEMAND),
    Ready: Ready(status="ready", stale=False, processors={"fraud": Progress(_NOON, _NOON + 1_160)}, lag=Lag(0, 0)),
    Alive: Alive(status="alive"),
}
