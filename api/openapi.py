"""The OpenAPI description: schemas of the answers as their structs have them, with an example of each."""

from typing import Any

import msgspec
from fastapi import FastAPI

from api.answers import Ages, Alive, Envelope, FeaturesAnswer, ModelsAnswer, Problem, Ready, ScoreAnswer
from schemas.results import CardFeatures, FraudScore, ModelVersion, Reason
from sinks.base import Progress

TITLE = "headrace"
DESCRIPTION = "Fraud scores, features and models as the pipeline last committed them. Nothing is computed here."
_REF = "#/components/schemas/{name}"
_NOON = 1_530_446_400_000
_ENVELOPE: dict[str, Any] = {"as_of": _NOON, "ages": Ages(1_200, 40), "stale": False}


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
_EXAMPLES: dict[Any, msgspec.Struct] = {
    ScoreAnswer: ScoreAnswer(
        **_ENVELOPE, source="model", model="fraud", version=12, feature_names=_NAMES, score=_SCORE
    ),
    FeaturesAnswer: FeaturesAnswer(
        **_ENVELOPE, source="features", model=None, version=None, feature_names=_NAMES, features=_FEATURES
    ),
    ModelsAnswer: ModelsAnswer(**_ENVELOPE, source="models", model=None, version=None, models={"fraud": _VERSION}),
    Ready: Ready(status="ready", stale=False, processors={"fraud": Progress(_NOON, _NOON + 1_160)}),
    Alive: Alive(status="alive"),
}
