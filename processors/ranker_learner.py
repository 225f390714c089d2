"""A ranker being taught, one example after the other; what it has come to is a snapshot, and goes on from one."""

from collections.abc import Sequence
from math import nan

import msgspec
import numpy as np

from online_models.base import Vector
from online_models.drift import Drift
from online_models.metrics import RollingQuality
from online_models.offers import AdditiveRanker
from processors.learning import LESSONS, arrays, numbers
from processors.offer_features import FEATURES_ID, NAMES
from schemas.offer_results import OfferExample
from schemas.results import ModelOrder


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
    last: str = ""


class RankerLearner:
    """A ranker being taught: the model, its progressive metrics, how far it has come, and the last order it took.

    `last` is the mark of the record that was learned last.
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
        self.last = ""
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
        self.learned_through, self.last = order.learned_through, order.last

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
                self.last,
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
        learner.order, learner.last = kept.order, kept.last
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


def _widened(example: OfferExample) -> OfferExample:
    """Return an example with a number for each feature, missing where its set had fewer."""
    if example.features == FEATURES_ID:
        return example
    missing = (nan,) * (len(NAMES) - len(example.vector))
    return msgspec.structs.replace(example, features=FEATURES_ID, vector=(*example.vector, *missing))
