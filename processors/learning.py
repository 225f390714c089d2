"""Learning: folds matured examples into a model, and publishes a version of it now and then."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np

from online_models.base import Vector
from online_models.drift import Drift
from online_models.metrics import Quality, RollingQuality
from online_models.release import Release, new, pack, unpack
from online_models.snapshots import digest
from processors.base import Said, Tables
from processors.publishing import has_obeyed, is_due
from schemas.offer_results import OfferExample
from schemas.records import DAY, AnyRecord
from schemas.results import Example, ModelOrder, ModelVersion
from schemas.topics import EXAMPLES, MODEL_ORDERS, MODELS

LESSONS = 64
"""Examples learned in one go."""


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    kind: str
    features: tuple[str, ...]
    release: bytes
    metrics: bytes
    version: int
    examples: int
    frauds: int
    learned_through: int
    since_published: int
    published_at: int
    order: str = ""
    label_drift: bytes = b""
    residual_drift: bytes = b""
    last: str = ""


class Learner:
    """A model being taught: the release, its progressive metrics, how far it has come, and the last order it took.

    `last` is the mark of the record that was learned last.
    `label_drift` watches the rate of frauds, `residual_drift` by how much labels exceed the scores they had.
    """

    def __init__(self, kind: str, features: tuple[str, ...]) -> None:
        self.kind = kind
        self.features = features
        self.release: Release = new(kind, features)
        self.metrics = RollingQuality()
        self.label_drift = Drift()
        self.residual_drift = Drift()
        self.version = 0
        self.examples = 0
        self.frauds = 0
        self.learned_through = 0
        self.since_published = 0
        self.published_at = 0
        self.order = ""
        self.last = ""
        self._lessons: list[Example] = []

    def add(self, example: Example) -> None:
        """Take in an example. It is learned with those around it, in order: many at once cost far less than one."""
        if example.version:
            self.metrics.add(example.label, example.score)
            self.residual_drift.add(example.label - example.score)
            self.release.calibrator.learn_one(example.score, example.label)
        self.label_drift.add(example.label)
        if example.weight:
            self._lessons.append(example)
            if len(self._lessons) >= LESSONS:
                self.learn()
        self.examples += 1
        self.frauds += example.label
        self.since_published += 1
        self.learned_through = max(self.learned_through, example.matured_at)

    def learn(self) -> None:
        """Learn what has been taken in. When this happens changes nothing but the time it takes."""
        if not self._lessons:
            return
        xs, ys, weights = arrays(self._lessons)
        self._lessons.clear()
        self.release.model.learn_many(xs, ys, weights)
        self.release.anomaly.learn_many(xs)

    @property
    def ready(self) -> bool:
        """Whether the model tells payments apart by now."""
        return bool(getattr(self.release.model, "ready", True))

    def packed(self) -> bytes:
        """Return what scorers need: the model with its calibration and its anomaly detector."""
        return pack(self.release)

    def obey(self, order: ModelOrder, blob: bytes) -> None:
        """Go on from the release of an order. What was measured stays: it judges scores that were given.

        Raises ValueError for a blob of another kind of model, or of other features, and then changes nothing.
        """
        release = unpack(blob, order.kind, self.features)
        self._lessons.clear()
        self.kind, self.release, self.order = order.kind, release, order.event_id
        self.examples, self.frauds = order.examples, order.frauds
        self.learned_through, self.last = order.learned_through, order.last

    def snapshot(self) -> bytes:
        """Return the whole state, from which `restored` goes on bit for bit."""
        self.learn()
        return msgspec.msgpack.encode(
            _Snapshot(
                self.kind,
                self.features,
                pack(self.release),
                self.metrics.snapshot(),
                self.version,
                self.examples,
                self.frauds,
                self.learned_through,
                self.since_published,
                self.published_at,
                self.order,
                self.label_drift.snapshot(),
                self.residual_drift.snapshot(),
                self.last,
            )
        )

    @classmethod
    def restored(cls, blob: bytes) -> "Learner":
        """Return the learner in a snapshot."""
        kept = msgspec.msgpack.decode(blob, type=_Snapshot)
        learner = cls(kept.kind, kept.features)
        learner.release = unpack(kept.release, kept.kind, kept.features)
        learner.metrics.restore(kept.metrics)
        learner.version, learner.examples, learner.frauds = kept.version, kept.examples, kept.frauds
        learner.learned_through, learner.since_published = kept.learned_through, kept.since_published
        learner.published_at, learner.order, learner.last = kept.published_at, kept.order, kept.last
        if kept.label_drift:
            learner.label_drift.restore(kept.label_drift)
            learner.residual_drift.restore(kept.residual_drift)
        return learner

    def figures(self) -> dict[str, float]:
        """Return the progressive metrics there are, and how often labels and residuals were found to have changed."""
        drifts = {"label_drifts": self.label_drift.detections, "residual_drifts": self.residual_drift.detections}
        return numbers(self.metrics.quality()) | drifts


class FraudLearner:
    """Folds the examples of a model into it, in the order they matured.

    A version is published every `every` examples or `at_most` milliseconds of event time, whichever comes first, and
    once the model is ready. `sign` signs its blob. `kinds` says what kind of model each model id is; outcomes may still
    bring examples of a model that is no longer among them, or with vectors of another set of features: those are passed
    over.

    An order puts a model where it says, and a version that tells so is published at once. Passed over is one that was
    taken already, whose blob `verify` refuses with BadSignature, or which is of other features.
    """

    name = "learning"
    inputs = (EXAMPLES, MODEL_ORDERS)
    outputs = (MODELS,)
    tables = ()
    state = Learner

    def __init__(
        self,
        features: tuple[str, ...],
        features_id: str,
        sign: Callable[[bytes], bytes],
        verify: Callable[[bytes], bytes],
        kinds: dict[str, str],
        every: int = 1_000,
        at_most: int = DAY,
    ) -> None:
        self._features = features
        self._features_id = features_id
        self._sign = sign
        self._verify = verify
        self._kinds = kinds
        self._every = every
        self._at_most = at_most

    def step(self, state: Learner | None, record: AnyRecord, tables: Tables) -> tuple[Learner | None, Iterable[Said]]:
        """Return the model with one example more or as it was ordered, and a version where one is due."""
        message: Example | ModelOrder = record.message
        if message.features != self._features_id:
            return state, ()
        if state is None:
            if message.model not in self._kinds:
                return None, ()
            state = Learner(self._kinds[message.model], self._features)
        if isinstance(message, ModelOrder):
            return state, self._obeyed(state, message)
        state.add(message)
        state.last = mark(record.id)
        if not is_due(state, message.matured_at, self._every, self._at_most):
            return state, ()
        return state, (Said(MODELS, self._published(state, message.model, message.matured_at)),)

    def _obeyed(self, state: Learner, order: ModelOrder) -> Iterable[Said]:
        if not has_obeyed(state, order, self._verify):
            return ()
        version = self._published(state, order.model, max(order.event_time, state.published_at))
        return (Said(MODELS, msgspec.structs.replace(version, order=order.event_id, why=order.why)),)

    def _published(self, state: Learner, model: str, now: int) -> ModelVersion:
        state.version += 1
        state.since_published = 0
        state.published_at = now
        signed = self._sign(state.packed())
        return ModelVersion(
            event_id=f"{model}@{state.version}",
            event_time=state.learned_through,
            model=model,
            version=state.version,
            kind=state.kind,
            digest=digest(signed),
            blob=b64encode(signed).decode(),
            features=self._features_id,
            examples=state.examples,
            frauds=state.frauds,
            learned_through=state.learned_through,
            metrics=state.figures(),
            last=state.last,
        )


def mark(record_id: str) -> str:
    """Return what a version tells of the record it learned last: not its id, which may name a customer."""
    return digest(record_id.encode())[:16]


def arrays(lessons: Sequence[Example | OfferExample]) -> tuple[Vector, Vector, Vector]:
    """Return vectors (one row each), labels (0 or 1) and weights, as models learn them."""
    xs = np.array([lesson.vector for lesson in lessons], dtype=np.float64)
    ys = np.array([lesson.label for lesson in lessons], dtype=np.float64)
    weights = np.array([lesson.weight for lesson in lessons], dtype=np.float64)
    return xs, ys, weights


def numbers(quality: Quality) -> dict[str, float]:
    """Return the figures that there are, by name."""
    return {name: float(value) for name, value in msgspec.structs.asdict(quality).items() if value is not None}
