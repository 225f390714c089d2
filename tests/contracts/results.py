"""Messages with defaults: say what a test is about, leave out the rest."""

import json
import random
from typing import Any

from schemas.records import AnyRecord, AnyTopic, Record
from schemas.results import (
    Alert,
    CardFeatures,
    DeadLetter,
    Example,
    FraudScore,
    ModelVersion,
    Reason,
)
from schemas.topics import ALERTS, CARD_FEATURES, DEAD_LETTERS, EXAMPLES, MODELS, SCORES, TRANSACTIONS
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


_TOPICS: dict[Any, AnyTopic] = {
    FraudScore: SCORES,
    CardFeatures: CARD_FEATURES,
    Example: EXAMPLES,
    Alert: ALERTS,
    ModelVersion: MODELS,
    DeadLetter: DEAD_LETTERS,
}


def record(message: Any) -> tuple[AnyRecord, bytes]:
    """Return a result as the record it travels in, and its JSON."""
    topic = _TOPICS[type(message)]
    return Record(topic, message, message.event_id), topic.encode(message)


def encoded(message: Any) -> Encoded:
    """Return a result, or a transaction's bytes, as it stands on its topic."""
    if isinstance(message, bytes):
        return Encoded(TRANSACTIONS.name, message)
    topic = _TOPICS[type(message)]
    return Encoded(topic.name, topic.encode(message))


def shuffled(items: list[Any], seed: int) -> list[Any]:
    """Return the items in another order, the same for the same seed."""
    return random.Random(seed).sample(items, len(items))
