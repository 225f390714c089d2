"""Messages with defaults: a test says what it is about and leaves out the rest."""

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from online_models.release import Release, pack
from online_models.snapshots import digest, sign, verify
from schemas.events import Feedback, Transaction
from schemas.offer_results import OfferExample, RankerVersion
from schemas.offer_topics import OFFER_EXAMPLES, RANKERS
from schemas.records import DAY, AnyRecord, AnyTopic, Record
from schemas.results import CardFeatures, Example, FraudScore, Label, ModelOrder, ModelVersion
from schemas.topics import (
    CARD_FEATURES,
    EXAMPLES,
    FEEDBACK,
    MODEL_ORDERS,
    MODELS,
    SCORES,
    TERMINAL_LABELS,
    TRANSACTIONS,
)
from streams.task import Task

NOON = 1_772_452_800_000
"""Monday 2026-03-02 12:00 UTC, in milliseconds."""

MINUTE, HOUR = 60_000, 3_600_000
KEY = b"a key for tests"
signed, verified = partial(sign, key=KEY), partial(verify, key=KEY)


def transaction(event_id: str = "tx-1", at: int = NOON, **changed: Any) -> Transaction:
    """Return a payment made `at` a time in milliseconds."""
    fields = {"user": "ann", "terminal": "t1", "amount": "25.00", "currency": "EUR"}
    return Transaction(event_id=event_id, event_time=moment(at), **fields | changed)


def feedback(about: str = "tx-1", at: int = NOON + 7 * DAY, **changed: Any) -> Feedback:
    """Return a chargeback of an event that became known `at` a time."""
    return Feedback(about=about, event_time=moment(at), **{"kind": "chargeback"} | changed)


def card_features(event_id: str = "tx-1", at: int = NOON, **changed: Any) -> CardFeatures:
    """Return a payment on its way to its terminal, with two features of its customer."""
    fields = {"user": "ann", "terminal": "t1", "amount": 25.0, "currency": "EUR", "customer": (25.0, 3.0)}
    return CardFeatures(event_id=event_id, event_time=at, **fields | changed)


def score(event_id: str = "tx-1", at: int = NOON, **changed: Any) -> FraudScore:
    """Return the score of a payment by version 3 of the model `fraud`."""
    fields: dict[str, Any] = {
        "user": "ann",
        "terminal": "t1",
        "amount": 25.0,
        "currency": "EUR",
        "score": 0.4,
        "probability": 0.3,
        "risk": 30,
        "decision": "review",
        "source": "model",
        "model": "fraud",
        "version": 3,
        "features": "f",
        "vector": (25.0, 3.0),
    }
    return FraudScore(event_id=event_id, event_time=at, **fields | changed)


def label(event_id: str = "tx-1", at: int = NOON, **changed: Any) -> Label:
    """Return what is known, a week later, of a payment made `at` a time: it was fraud."""
    fields = {"user": "ann", "terminal": "t1", "fraud": True, "known_at": at + 7 * DAY}
    return Label(event_id=event_id, event_time=at, **fields | changed)


def example(event_id: str = "tx-1", at: int = NOON, **changed: Any) -> Example:
    """Return a genuine outcome of a payment made `at` a time, matured a week later."""
    fields: dict[str, Any] = {
        "model": "fraud",
        "label": False,
        "matured_at": at + 7 * DAY,
        "score": 0.4,
        "probability": 0.3,
        "version": 3,
        "features": "f",
        "vector": (25.0, 3.0),
    }
    return Example(event_id=event_id, event_time=at, **fields | changed)


def model_version(release: Release, kind: str, features: str, **changed: Any) -> ModelVersion:
    """Return a release as it is published: signed, as version 1 of the model `fraud`."""
    blob = signed(pack(release))
    fields: dict[str, Any] = {"model": "fraud", "version": 1, "examples": 1_000, "frauds": 9, "learned_through": NOON}
    fields |= {"digest": digest(blob), "blob": base64(blob)}
    return ModelVersion(event_id="fraud@1", event_time=NOON, kind=kind, features=features, **fields | changed)


TOPICS: dict[type, AnyTopic] = {
    Transaction: TRANSACTIONS,
    Feedback: FEEDBACK,
    CardFeatures: CARD_FEATURES,
    FraudScore: SCORES,
    Label: TERMINAL_LABELS,
    Example: EXAMPLES,
    ModelVersion: MODELS,
    ModelOrder: MODEL_ORDERS,
    OfferExample: OFFER_EXAMPLES,
    RankerVersion: RANKERS,
}


def record(message: Any, topic: AnyTopic | None = None, **changed: Any) -> AnyRecord:
    """Return a message as a record of its topic, known by its event id; labels are for terminals."""
    return Record(topic or TOPICS[type(message)], message, **{"id": message.event_id} | changed)


def records(messages: Iterable[Any]) -> list[AnyRecord]:
    """Return messages as records, each with its place as offset."""
    return [record(message, offset=offset) for offset, message in enumerate(messages)]


def heard(task: Task, *messages: Any) -> list[Any]:
    """Return the messages that a task says about these, in order."""
    given = [message if isinstance(message, Record) else record(message) for message in messages]
    return [said.message for each in given for said in task.step(each)]


def moment(at: int) -> datetime:
    """Return a time in milliseconds since 1970 as a datetime in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC)


def base64(blob: bytes) -> str:
    """Return bytes as base64 text."""
    return b64encode(blob).decode()


def outcomes(count: int, poisoned: range = range(0)) -> list[Example]:
    """Return outcomes an hour apart; those of the range come from a source that lies."""
    return [
        example(
            f"e{n}",
            NOON + n * HOUR,
            label=n % 7 == 0 or n in poisoned,
            vector=(float(n % 90), 0.1),
            source="liar" if n in poisoned else "window",
        )
        for n in range(count)
    ]
