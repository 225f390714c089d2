"""Learning to rank: folds what shown offers earned into the ranker, and publishes a version of it now and then."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Sequence
from math import nan

import msgspec
import numpy as np

from online_models.base import Vector
from online_models.drift import Drift
from online_models.metrics import RollingQuality
from online_models.offers import AdditiveRanker
from online_models.snapshots import digest
from processors.base import Said, Tables
from processors.learning import LESSONS, arrays, numbers
from processors.offer_features import FEATURES_ID, NAMES, WIDTHS
from schemas.offer_results import OfferExample, RankerVersion
from schemas.offer_topics import OFFER_EXAMPLES, RANKERS
from schemas.records import DAY, AnyRecord
from schemas.results import ModelOrder
from schemas.topics import MODEL_ORDERS


class _Snapshot(msgspec.Struct, frozen=True, array_like=True):
    model: bytes
    metrics: bytes
    version: int
    examples: int
    rewarded: int
    learned_through: int
    since_published: int
    published_at: int
    corrections: int = 0
    reward_drift: bytes = b""
    residual_drift: bytes = b""
    order: str = ""


class RankerLearner:
    """A ranker being taught: the model, its progressive metrics, how far it has come, and the last order it took.

    `reward_drift` watches the rewards, `residual_drift` by how much they exceed the scores they were expected by.
    """

    def __init__(self) -> None:
        self.model = AdditiveRanker(NAMES)
        self.metrics = RollingQuality()
        self.reward_drift = Drift()
        self.residual_drift = Drift()
        self.version = 0
        self.examples = 0
        self.rewarded = 0
        self.learned_through = 0
        self.since_published = 0
        self.published_at = 0
        self.corrections = 0
        self.order = ""
        self._lessons: list[OfferExample] = []

    def add(self, example: OfferExample) -> None:
        """Take in an example, or what corrects one; of a feature set in `WIDTHS`.

        It is learned with those around it, in order: many at once cost far less than one.
        """
        example = _widened(example)
        if example.late:
            self.correct(example)
            return
        if example.version:
            self.metrics.add(example.label, example.score)
            self.residual_drift.add(example.earned - example.score)
        self.reward_drift.add(example.earned)
        self._take(example)
        self.examples += 1
        self.rewarded += example.label
        self._count(example)

    def correct(self, example: OfferExample) -> None:
        """Take in what corrects an example that was learned. It is judged no more: that was by what was known then."""
        if self.model.ready:
            self._take(example)
        else:
            self.learn()
            x = np.array(example.vector, dtype=np.float64)
            self.model.correct_one(x, example.before or 0.0, example.earned, example.weight)
        self.corrections += 1
        self._count(example)

    def learn(self) -> None:
        """Learn what has been taken in. When this happens changes nothing but the time it takes."""
        if not self._lessons:
            return
        xs, ys, weights = lessons_of(self._lessons)
        self._lessons.clear()
        self.model.learn_many(xs, ys, weights)

    def figures(self) -> dict[str, float]:
        """Return the progressive metrics, how much was corrected, and how often something has drifted."""
        return numbers(self.metrics.quality()) | {
            "corrections": float(self.corrections),
            "reward_drifts": float(self.reward_drift.detections),
            "residual_drifts": float(self.residual_drift.detections),
        }

    def _take(self, example: OfferExample) -> None:
        self._lessons.append(example)
        if len(self._lessons) >= LESSONS:
            self.learn()

    def _count(self, example: OfferExample) -> None:
        self.since_published += 1
        self.learned_through = max(self.learned_through, example.matured_at)

    @property
    def ready(self) -> bool:
        """Whether the model tells offers apart by now."""
        return self.model.ready

    def packed(self) -> bytes:
        """Return what rankings need: the model."""
        self.learn()
        return self.model.snapshot()

    def obey(self, order: ModelOrder, blob: bytes) -> None:
        """Go on from the model of an order. What was measured stays: it judges scores that were given.

        Raises ValueError for a blob of other features, and then changes nothing.
        """
        model = AdditiveRanker(NAMES)
        model.restore(blob)
        self._lessons.clear()
        self.model, self.order = model, order.event_id
        self.examples, self.rewarded = order.examples, order.frauds
        self.learned_through = order.learned_through

    def snapshot(self) -> bytes:
        """Return the whole state, from which `restored` goes on bit for bit."""
        self.learn()
        return msgspec.msgpack.encode(
            _Snapshot(
                self.model.snapshot(),
                self.metrics.snapshot(),
                self.version,
                self.examples,
                self.rewarded,
                self.learned_through,
                self.since_published,
                self.published_at,
                self.corrections,
                self.reward_drift.snapshot(),
                self.residual_drift.snapshot(),
                self.order,
            )
        )

    @classmethod
    def restored(cls, blob: bytes) -> "RankerLearner":
        """Return the learner in a snapshot."""
        kept = msgspec.msgpack.decode(blob, type=_Snapshot)
        learner = cls()
        learner.model.restore(kept.model)
        learner.metrics.restore(kept.metrics)
        learner.version, learner.examples, learner.rewarded = kept.version, kept.examples, kept.rewarded
        learner.learned_through, learner.since_published = kept.learned_through, kept.since_published
        learner.published_at, learner.corrections = kept.published_at, kept.corrections
        learner.order = kept.order
        for drift, state in ((learner.reward_drift, kept.reward_drift), (learner.residual_drift, kept.residual_drift)):
            if state:
                drift.restore(state)
        return learner


def lessons_of(examples: Sequence[OfferExample]) -> tuple[Vector, Vector, Vector]:
    """Return vectors, labels and weights: of a reward r in (0, 1) the pair of 1, weighing r, and 0, weighing 1 − r."""
    xs, labels, weights = arrays(examples)
    if all(example.reward is None for example in examples):
        return xs, labels, weights
    rewards = np.array([example.earned for example in examples])
    rows = np.repeat(np.arange(len(examples)), 2)
    labels = np.tile((1.0, 0.0), len(examples))
    shares = np.column_stack((rewards * weights, (1.0 - rewards) * weights)).ravel()
    told = shares > 0.0
    return xs[rows[told]], labels[told], shares[told]


class OfferLearner:
    """Folds the examples of a ranker into it, in the order their windows ended.

    A version is published every `every` examples or `at_most` milliseconds of event time, whichever comes first, once
    the model is ready. `sign` signs its blob. Examples with vectors of another set of features are passed over; one of
    only the first features is learned with the others missing, as they were. An example that corrects another is
    learned too, in its place where the model allows (`AdditiveRanker.correct_one`); without `corrects` it is passed
    over.

    An order puts the ranker where it says, and a version that tells so is published at once. Passed over is one that
    was taken already, whose blob `verify` refuses with BadSignature, or which is of other features.
    """

    name = "offer-learning"
    inputs = (OFFER_EXAMPLES, MODEL_ORDERS)
    outputs = (RANKERS,)
    tables = ()
    state = RankerLearner

    def __init__(
        self,
        sign: Callable[[bytes], bytes],
        verify: Callable[[bytes], bytes],
        every: int = 200,
        at_most: int = DAY // 24,
        *,
        corrects: bool = True,
    ) -> None:
        self._sign = sign
        self._verify = verify
        self._corrects = corrects
        self._every = every
        self._at_most = at_most

    def step(
        self, state: RankerLearner | None, record: AnyRecord, tables: Tables
    ) -> tuple[RankerLearner | None, Iterable[Said]]:
        """Return the ranker with one example more or as it was ordered, and a version where one is due."""
        if isinstance(record.message, ModelOrder):
            return self._obeyed(state, record.message)
        example: OfferExample = record.message
        if example.features not in WIDTHS or (example.late and not (self._corrects and state)):
            return state, ()
        state = state or RankerLearner()
        state.add(example)
        if not self._is_due(state, example.matured_at):
            return state, ()
        return state, (Said(RANKERS, self._published(state, example.model, example.matured_at)),)

    def _obeyed(self, state: RankerLearner | None, order: ModelOrder) -> tuple[RankerLearner | None, Iterable[Said]]:
        if order.features not in WIDTHS or (state is not None and state.order == order.event_id):
            return state, ()
        obeying = state or RankerLearner()
        try:
            obeying.obey(order, self._verify(b64decode(order.blob)))
        except ValueError:
            return state, ()
        version = self._published(obeying, order.model, max(order.event_time, obeying.published_at))
        return obeying, (Said(RANKERS, msgspec.structs.replace(version, order=order.event_id, why=order.why)),)

    def _is_due(self, state: RankerLearner, now: int) -> bool:
        if state.since_published < self._every and now - state.published_at < self._at_most:
            return False
        state.learn()
        return state.ready

    def _published(self, state: RankerLearner, model: str, now: int) -> RankerVersion:
        state.version += 1
        state.since_published = 0
        state.published_at = now
        signed = self._sign(state.packed())
        return RankerVersion(
            event_id=f"{model}@{state.version}",
            event_time=state.learned_through,
            model=model,
            version=state.version,
            digest=digest(signed),
            blob=b64encode(signed).decode(),
            features=FEATURES_ID,
            examples=state.examples,
            rewarded=state.rewarded,
            learned_through=state.learned_through,
            metrics=state.figures(),
        )


def _widened(example: OfferExample) -> OfferExample:
    """Return an example with a number for each feature, missing where its set had fewer."""
    if example.features == FEATURES_ID:
        return example
    missing = (nan,) * (len(NAMES) - len(example.vector))
    return msgspec.structs.replace(example, features=FEATURES_ID, vector=(*example.vector, *missing))
