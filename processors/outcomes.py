"""Waiting for the truth: joins feedback to the score it is about, and lets unlabelled payments mature as genuine."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import nan
from struct import Struct
from sys import intern

import msgspec
from msgspec.structs import replace

from processors.base import Said, Tables
from schemas.events import Feedback
from schemas.records import DAY, AnyRecord, Due
from schemas.results import Example, FraudScore, Label
from schemas.topics import CUSTOMER_LABELS, EXAMPLES, FEEDBACK, SCORES, TERMINAL_LABELS

GENUINE, FRAUD = 1, 2
FLOAT_BYTES = 8


class Told(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a feedback said: fraud or not, when it became known, who said it and how sure they are."""

    fraud: bool
    at: int
    source: str
    confidence: float


class Scored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What must be kept of a score until its label: the vector it was made from, and whom it was about.

    The vector is packed as little-endian float64, NaN where missing: a quarter of the memory of Python floats.
    """

    event_id: str
    event_time: int
    user: str
    terminal: str
    amount: float
    currency: str
    score: float
    probability: float
    model: str
    version: int
    features: str
    vector: bytes
    shadow: dict[str, float]
    shadow_versions: dict[str, int]
    weight: float


class Waiting(msgspec.Struct, array_like=True, gc=False):
    """One payment on its way to the truth. `taught` holds GENUINE and FRAUD once an example of it was said."""

    due: int | None
    tenant: str
    scored: Scored | None = None
    told: Told | None = None
    taught: int = 0

    def __post_init__(self) -> None:
        # msgspec leaves a default out of a message only if it is the very same object, which a decoded text is not.
        self.tenant = intern(self.tenant)


class FraudOutcomes:
    """Folds a payment's score and feedback into at most one example per class.

    A fraud label speaks at once. Without one, the payment matures as genuine when the watermark exceeds its time plus
    `label_window`; a label dated exactly then is in time. What is known is forgotten `late_horizon` after that; a
    fraud label in between corrects the features and teaches once, marked late. A feedback that comes before its score
    waits for it as long.
    """

    name = "outcomes"
    inputs = (SCORES, FEEDBACK)
    outputs = (EXAMPLES, CUSTOMER_LABELS, TERMINAL_LABELS)
    tables = ()
    state = Waiting

    def __init__(self, label_window: int = 7 * DAY, late_horizon: int = 30 * DAY) -> None:
        self._label_window = label_window
        self._late_horizon = late_horizon

    def step(self, state: Waiting | None, record: AnyRecord, tables: Tables) -> tuple[Waiting | None, Iterable[Said]]:
        """Return the payment's next state, and the example and labels that came of it."""
        match record.message:
            case FraudScore() as score:
                return self._scored(state, score)
            case Feedback() as feedback:
                return self._told(state, feedback)
            case Due(at=at):
                return self._matured(state, at)
            case other:
                raise TypeError(f"{self.name} does not read {type(other).__name__}")

    def _scored(self, state: Waiting | None, score: FraudScore) -> tuple[Waiting, Iterable[Said]]:
        if state is not None and state.scored is not None:
            return state, ()
        waiting = Waiting(due=score.event_time + self._label_window, tenant=score.tenant, scored=_kept(score))
        if state is None or state.told is None:
            return waiting, ()
        return waiting, list(self._learn(waiting, state.told))

    def _told(self, state: Waiting | None, feedback: Feedback) -> tuple[Waiting | None, Iterable[Said]]:
        fraud = feedback.fraud()
        if fraud is None:
            return state, ()
        at = feedback.time_ms()
        told = Told(fraud, at, feedback.source, feedback.confidence)
        if state is None or state.scored is None:
            return Waiting(due=at + self._late_horizon, tenant=feedback.tenant, told=told), ()
        return state, list(self._learn(state, told))

    def _learn(self, state: Waiting, told: Told) -> Iterator[Said]:
        scored = state.scored
        if scored is None:
            return
        changed = state.told is None or state.told.fraud != told.fraud
        state.told = told
        if changed:
            label = Label(
                event_id=scored.event_id,
                event_time=scored.event_time,
                tenant=state.tenant,
                user=scored.user,
                terminal=scored.terminal,
                fraud=told.fraud,
                known_at=told.at,
            )
            yield Said(CUSTOMER_LABELS, label)
            yield Said(TERMINAL_LABELS, label)
        lesson = FRAUD if told.fraud else GENUINE
        if not state.taught & lesson:
            yield from _examples(state, scored, told)
            state.taught |= lesson

    def _matured(self, state: Waiting | None, at: int) -> tuple[Waiting | None, Iterable[Said]]:
        if state is None or state.scored is None or at > state.scored.event_time + self._label_window:
            return None, ()
        state.due = at + self._late_horizon
        if state.taught:
            return state, ()
        said = _examples(state, state.scored, Told(False, at, "window", 1.0))
        state.taught |= GENUINE
        return state, said


def _kept(score: FraudScore) -> Scored:
    return Scored(
        score.event_id,
        score.event_time,
        score.user,
        score.terminal,
        score.amount,
        score.currency,
        score.score,
        score.probability,
        score.model,
        score.version,
        score.features,
        packed(score.vector),
        score.shadow,
        score.shadow_versions,
        score.weight,
    )


def _examples(state: Waiting, scored: Scored, told: Told) -> list[Said]:
    """Say one example for the model that scored, and one for each in its shadow."""
    vector = unpacked(scored.vector)
    said = [_example(state, scored, told, vector)]
    for model, score in scored.shadow.items():
        version = scored.shadow_versions.get(model, scored.version)
        probability = scored.probability if model == scored.model else score
        example = replace(said[0].message, model=model, score=score, probability=probability, version=version)
        said.append(Said(EXAMPLES, example))
    return said


def _example(state: Waiting, scored: Scored, told: Told, vector: tuple[float, ...]) -> Said:
    example = Example(
        event_id=scored.event_id,
        event_time=scored.event_time,
        tenant=state.tenant,
        model=scored.model,
        label=told.fraud,
        matured_at=told.at,
        score=scored.score,
        probability=scored.probability,
        version=scored.version,
        features=scored.features,
        vector=vector,
        source=told.source,
        confidence=told.confidence,
        weight=1.0 if told.fraud else scored.weight,
        late=bool(state.taught),
        amount=scored.amount,
        currency=scored.currency,
        user=scored.user,
        terminal=scored.terminal,
    )
    return Said(EXAMPLES, example)


def packed(vector: tuple[float | None, ...]) -> bytes:
    """Return a vector as little-endian float64; None, which is how JSON spells NaN, becomes NaN."""
    return _layout(len(vector)).pack(*[nan if value is None else value for value in vector])


def unpacked(vector: bytes) -> tuple[float, ...]:
    """Return the vector that was packed."""
    return _layout(len(vector) // FLOAT_BYTES).unpack(vector)


@lru_cache(64)
def _layout(numbers: int) -> Struct:
    return Struct(f"<{numbers}d")
