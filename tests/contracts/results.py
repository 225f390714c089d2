"""Messages with defaults: say what a test is about, leave out the rest."""

import json
import random
from typing import Any

from schemas.offer_results import OfferExample, OfferUsage, RankedOffer, RankerVersion, Ranking, RewardStray
from schemas.offer_topics import OFFER_EXAMPLES, OFFER_USAGE, RANKERS, RANKINGS, REWARD_STRAYS
from schemas.recommendation_results import ItemDemand, Recommendations, Suggestion
from schemas.recommendation_topics import ITEM_DEMANDS, RECOMMENDATIONS
from schemas.records import AnyRecord, AnyTopic, Record
from schemas.results import (
    Alert,
    CardFeatures,
    DeadLetter,
    Example,
    FraudScore,
    ModelAlias,
    ModelVersion,
    Reason,
)
from schemas.rollout_results import Rollout
from schemas.rollout_topics import ROLLOUTS
from schemas.topics import (
    ALERTS,
    CARD_FEATURES,
    CLICKS,
    DEAD_LETTERS,
    EXAMPLES,
    MODEL_ALIASES,
    MODELS,
    SCORES,
    TRANSACTIONS,
)
from sinks.base import Encoded

NOON = 1_530_446_400_000
"""2018-07-01 12:00 UTC in milliseconds."""

TEXTS = ("amount 412.00 is 6.1× this customer's usual 67.30", "4 of the last 9 matured payments here were fraud")


def score(event_id: str = "e1", **changed: Any) -> FraudScore:
    fields: dict[str, Any] = {
        "event_time": NOON,
        "user": "ann",
        "terminal": "t1",
        "amount": 412.0,
        "currency": "EUR",
        "score": 0.9,
        "probability": 0.8,
        "risk": 80,
        "decision": "review",
        "source": "model",
        "model": "fraud",
        "version": 3,
        "features": "card.1",
        "vector": (412.0, None, 6.1),
        "reasons": tuple(Reason(f"f{n}", 1.5 - n, text) for n, text in enumerate(TEXTS)),
        "ages": {"terminal": 60_000},
    }
    return FraudScore(event_id=event_id, **fields | changed)


def features(event_id: str = "e1", **changed: Any) -> CardFeatures:
    fields: dict[str, Any] = {
        "event_time": NOON,
        "user": "ann",
        "terminal": "t1",
        "amount": 412.0,
        "currency": "EUR",
        "customer": (412.0, 6.1),
    }
    return CardFeatures(event_id=event_id, **fields | changed)


def example(event_id: str = "e1", **changed: Any) -> Example:
    fields: dict[str, Any] = {
        "event_time": NOON,
        "model": "fraud",
        "label": False,
        "matured_at": NOON + 7 * 86_400_000,
        "score": 0.9,
        "probability": 0.8,
        "version": 3,
        "features": "f",
        "vector": (412.0, None, 6.1),
        "amount": 412.0,
        "currency": "EUR",
        "user": "ann",
        "terminal": "t1",
    }
    return Example(event_id=event_id, **fields | changed)


def alert(event_id: str = "e1", **changed: Any) -> Alert:
    fields: dict[str, Any] = {
        "event_time": NOON,
        "user": "ann",
        "terminal": "t1",
        "amount": 412.0,
        "currency": "EUR",
        "risk": 80,
        "decision": "review",
        "reasons": tuple(Reason(f"f{n}", 1.5 - n, text) for n, text in enumerate(TEXTS)),
        "model": "fraud",
        "version": 3,
    }
    return Alert(event_id=event_id, **fields | changed)


def model_alias(**changed: Any) -> ModelAlias:
    """Return that another model is the challenger for a tenth of the customers."""
    fields: dict[str, Any] = {"event_id": "river@3>1", "event_time": NOON, "alias": "challenger", "model": "river"}
    return ModelAlias(**fields | {"share": 0.1, "why": "better in the shadow", "by": "ann"} | changed)


def model_version(version: int = 3, model: str = "fraud", **changed: Any) -> ModelVersion:
    fields: dict[str, Any] = {
        "event_id": f"{model}@{version}",
        "event_time": NOON,
        "kind": "additive",
        "digest": "d1",
        "blob": "YmxvYg==",
        "features": "card.1",
        "examples": 1000,
        "frauds": 9,
        "learned_through": NOON,
        "metrics": {"auc": 0.88},
    }
    return ModelVersion(model=model, version=version, **fields | changed)


def dead_letter(offset: int = 0, **changed: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "event_id": f"transactions/0/{offset}",
        "event_time": NOON,
        "reason": "not_json",
        "detail": "expected value at line 1 column 1",
        "topic": "transactions",
        "partition": 0,
        "value": "c2VjcmV0",
        "code_version": "0.1.0",
    }
    return DeadLetter(offset=offset, **fields | changed)


def transaction(event_id: str = "e1", **changed: Any) -> bytes:
    fields = {
        "event_id": event_id,
        "event_time": "2018-07-01T12:00:00Z",
        "user": "ann",
        "amount": "412.00",
        "currency": "EUR",
        "terminal": "t1",
    }
    return json.dumps(fields | changed, ensure_ascii=False).encode()


def slot(offer: str = "coffee", **changed: Any) -> RankedOffer:
    fields: dict[str, Any] = {
        "score": 0.4,
        "value": 1.2,
        "propensity": 0.9,
        "window_end": NOON + 7 * 86_400_000,
        "vector": (5.0, None, 0.1 + 0.2),
        "unit": "EUR",
        "reasons": (Reason("returns", 0.7, "You spend 24.00 a week here; this returns 5.00 on 20.00"),),
    }
    return RankedOffer(offer=offer, **fields | changed)


def ranking(event_id: str = "d1", **changed: Any) -> Ranking:
    fields: dict[str, Any] = {
        "event_time": NOON,
        "user": "ann",
        "slots": (slot(), slot("books", score=0.1, value=0.1, propensity=0.5, reasons=())),
        "candidates": ("books", "coffee", "tea"),
        "scores": (0.1, 0.4, 0.05),
        "source": "model",
        "policy": "epsilon-greedy",
        "model": "offers",
        "version": 4,
        "features": "offer.1",
        "refused": {"wine": "paused"},
    }
    return Ranking(event_id=event_id, **fields | changed)


def offer_example(event_id: str = "d1", **changed: Any) -> OfferExample:
    fields: dict[str, Any] = {
        "event_time": NOON,
        "model": "offers",
        "user": "ann",
        "offer": "coffee",
        "label": False,
        "matured_at": NOON + 7 * 86_400_000,
        "score": 0.4,
        "version": 4,
        "features": "offer.1",
        "vector": (5.0, None, 0.1 + 0.2),
        "propensity": 0.9,
    }
    return OfferExample(event_id=event_id, **fields | changed)


def reward_stray(event_id: str = "c9", **changed: Any) -> RewardStray:
    fields: dict[str, Any] = {"event_time": NOON, "user": "ann", "kind": "redemption", "reason": "never_shown"}
    return RewardStray(event_id=event_id, **fields | {"offer": "coffee", "decision": "d9"} | changed)


def ranker_version(version: int = 4, model: str = "offers", **changed: Any) -> RankerVersion:
    fields: dict[str, Any] = {
        "event_id": f"{model}@{version}",
        "event_time": NOON,
        "digest": "d1",
        "blob": "YmxvYg==",
        "features": "offer.1",
        "examples": 700,
        "rewarded": 210,
        "learned_through": NOON,
        "metrics": {"auc": 0.78},
    }
    return RankerVersion(model=model, version=version, **fields | changed)


def offer_usage(impressions: int = 10, offer: str = "coffee", **changed: Any) -> OfferUsage:
    fields: dict[str, Any] = {
        "event_id": f"{offer}/{impressions}",
        "event_time": NOON + impressions,
        "redemptions": impressions // 5,
        "views": impressions // 2,
        "spent": impressions // 5 * 5.0,
        "unit": "EUR",
    }
    return OfferUsage(offer=offer, impressions=impressions, **fields | changed)


def rollout(number: int = 3, model: str = "offers", **changed: Any) -> Rollout:
    fields: dict[str, Any] = {
        "event_time": NOON,
        "trial": "greedy/thompson/0.1/0",
        "state": "running",
        "champion": "greedy",
        "challenger": "thompson",
        "share": 0.1,
        "champion_outcomes": 900,
        "champion_mean": 0.3,
        "challenger_outcomes": 100,
        "challenger_mean": 0.4,
        "better": 7.0,
        "worse": 0.2,
        "low": -0.05,
        "high": 0.25,
        "alpha": 0.05,
    }
    return Rollout(event_id=f"{model}@{number}", model=model, **fields | changed)


def suggestion(item: str = "alien", **changed: Any) -> Suggestion:
    fields: dict[str, Any] = {
        "score": 0.7,
        "part": "content",
        "reason": "You chose 4 Horror items; this is Horror too",
        "parts": {"collaborative": 0.6, "content": 0.9, "trending": 0.3},
    }
    return Suggestion(item=item, **fields | changed)


def recommendations(event_id: str = "c1", **changed: Any) -> Recommendations:
    fields: dict[str, Any] = {
        "event_time": NOON,
        "user": "ann",
        "expires_at": NOON + 86_400_000,
        "items": (suggestion(), suggestion("airplane", score=0.2, part="trending")),
        "weights": {"collaborative": 0.4, "content": 0.35, "trending": 0.25},
    }
    return Recommendations(event_id=event_id, **fields | changed)


def item_demand(count: int = 3, item: str = "alien", **changed: Any) -> ItemDemand:
    fields: dict[str, Any] = {"event_id": f"{item}/{count}", "event_time": NOON + count, "weight": count * 0.9}
    return ItemDemand(item=item, count=count, **fields | changed)


def click(event_id: str, kind: str, **changed: Any) -> Encoded:
    fields = {
        "event_id": event_id,
        "event_time": "2018-07-01T12:00:00Z",
        "user": "ann",
        "kind": kind,
        "offer": "coffee",
        "decision_id": "d1",
    }
    return Encoded(CLICKS.name, json.dumps(fields | changed).encode())


_TOPICS: dict[Any, AnyTopic] = {
    FraudScore: SCORES,
    CardFeatures: CARD_FEATURES,
    Example: EXAMPLES,
    Alert: ALERTS,
    ModelAlias: MODEL_ALIASES,
    ModelVersion: MODELS,
    DeadLetter: DEAD_LETTERS,
    Ranking: RANKINGS,
    OfferExample: OFFER_EXAMPLES,
    RewardStray: REWARD_STRAYS,
    RankerVersion: RANKERS,
    OfferUsage: OFFER_USAGE,
    Rollout: ROLLOUTS,
    Recommendations: RECOMMENDATIONS,
    ItemDemand: ITEM_DEMANDS,
}


def record(message: Any) -> tuple[AnyRecord, bytes]:
    """Return a result as the record it travels in, and its JSON."""
    topic = _TOPICS[type(message)]
    return Record(topic, message, message.event_id), topic.encode(message)


def encoded(message: Any) -> Encoded:
    """Return a result, or a transaction's bytes, as it stands on its topic; what is there already as it is."""
    if isinstance(message, Encoded):
        return message
    if isinstance(message, bytes):
        return Encoded(TRANSACTIONS.name, message)
    topic = _TOPICS[type(message)]
    return Encoded(topic.name, topic.encode(message))


def shuffled(items: list[Any], seed: int) -> list[Any]:
    """Return the items in another order, the same for the same seed."""
    return random.Random(seed).sample(items, len(items))
