"""Explaining a score: what it was made from, feature by feature, and that the same comes out of it again."""

from typing import Any, NamedTuple

import msgspec
import numpy as np

from online_models.base import Explains, Vector
from processors.fraud import FraudScorer
from schemas.records import AnyTopic
from schemas.results import CardFeatures, FraudScore, ModelVersion
from schemas.topics import MODELS, SCORES
from sinks.serving import Reader


class Unexplained(LookupError):
    """A score that cannot be explained here; the message says what is missing."""


class FeatureValue(msgspec.Struct, frozen=True):
    """One number a score was made from.

    `age_ms` is how long its source had not changed by then, None when there was nothing before; `contribution` is what
    it added to the log-odds, None where the score is no sum.
    """

    name: str
    value: float | None
    age_ms: int | None
    contribution: float | None


class Difference(NamedTuple):
    """A field that comes out otherwise now than it is stored."""

    field: str
    stored: Any
    computed: Any


class ExplainedScore(msgspec.Struct, frozen=True):
    """A stored score, its features, and the fields that differ when it is computed again: none, to the last bit."""

    score: FraudScore
    features: tuple[FeatureValue, ...]
    differing: tuple[Difference, ...]


async def explain(scorer: FraudScorer, reader: Reader, event_id: str, tenant: str = "default") -> ExplainedScore:
    """Return the explanation of an event's score. Raises Unexplained, and SinkBusy while Redis is away."""
    stored = await reader.score(event_id, tenant)
    if stored is None:
        raise Unexplained(f"no score of event {event_id!r} of tenant {tenant!r} is kept in Redis")
    score = SCORES.decode(stored)
    if score.source == "rules":
        return explained(scorer, score, None)
    version = await reader.model_version(score.model, score.version, tenant)
    if version is None:
        raise Unexplained(f"model {score.model}@{score.version}, which made the score, is no longer kept in Redis")
    return explained(scorer, score, MODELS.decode(version))


def explained(scorer: FraudScorer, score: FraudScore, version: ModelVersion | None) -> ExplainedScore:
    """Return the explanation of a score that a model version made, or the rules. Raises Unexplained."""
    if score.features != scorer.features_id:
        raise Unexplained(
            f"the score is of feature set {score.features}, these settings and this code compute {scorer.features_id}: "
            "explain it with those that made it"
        )
    release = scorer.release(version)
    if version is not None and release is None:
        raise Unexplained(
            f"model {version.model}@{version.version} is not signed with this secret: set the HEADRACE_SECRET it was "
            "signed with"
        )
    x = np.array(score.vector, dtype=np.float64)
    contributions = None if release is None or not isinstance(release.model, Explains) else release.model.contributions
    features = _features(scorer, score, None if contributions is None else contributions(x))
    return ExplainedScore(score, features, differing(SCORES, score, _again(scorer, score, x, version)))


def _features(scorer: FraudScorer, score: FraudScore, contributions: Vector | None) -> tuple[FeatureValue, ...]:
    of_customer = len(scorer.names) - len(scorer.history.names)
    ages = [score.ages.get("customer", -1)] * of_customer + [score.ages.get("terminal", -1)] * len(scorer.history.names)
    added = [None] * len(scorer.names) if contributions is None else contributions.tolist()
    return tuple(
        FeatureValue(name, value, None if age < 0 else age, each)
        for name, value, age, each in zip(scorer.names, score.vector, ages, added, strict=True)
    )


def _again(scorer: FraudScorer, score: FraudScore, x: Vector, version: ModelVersion | None) -> FraudScore:
    """Return what the scorer makes of the stored vector now; shadows, of other versions, are left as they were."""
    terminal_age = score.ages.get("terminal", -1)
    payment = CardFeatures(
        event_id=score.event_id,
        event_time=score.event_time,
        tenant=score.tenant,
        user=score.user,
        terminal=score.terminal,
        amount=score.amount,
        currency=score.currency,
        customer=score.vector,
        card=score.card,
        country=score.country,
        customer_age=score.ages.get("customer", -1),
        input_topic=score.input_topic,
        input_partition=score.input_partition,
        input_offset=score.input_offset,
    )
    # Below zero but not -1: the terminal had seen a later payment already, by the times the events tell.
    newest = -1 if terminal_age == -1 else score.event_time - terminal_age
    again = scorer.score(payment, x, newest, score.model, {} if version is None else {score.model: version})
    return msgspec.structs.replace(again, shadow=score.shadow)


def differing(topic: AnyTopic, stored: Any, computed: Any) -> tuple[Difference, ...]:
    """Return the fields in which two messages of a topic are not the same to the last bit."""
    # As JSON both: a missing value is NaN in a vector and null in a message.
    before, now = (msgspec.to_builtins(topic.decode(topic.encode(each))) for each in (stored, computed))
    fields = dict.fromkeys((*before, *now))
    pairs = [Difference(name, before.get(name), now.get(name)) for name in fields]
    return tuple(pair for pair in pairs if _bytes(pair.stored) != _bytes(pair.computed))


def _bytes(value: Any) -> bytes:
    # Zero and minus zero are equal, but not the same bits.
    return msgspec.json.encode(value, order="deterministic")
