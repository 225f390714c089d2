"""Learning to rank: folds what shown offers earned into the ranker, and publishes a version of it now and then."""

from base64 import b64encode
from collections.abc import Callable, Iterable

import msgspec

from online_models.snapshots import digest
from processors.base import Said, Tables
from processors.learning import mark
from processors.offer_features import FEATURES_ID, WIDTHS
from processors.publishing import has_obeyed, is_due
from processors.ranker_learner import RankerLearner
from schemas.offer_results import OfferExample, RankerVersion
from schemas.offer_topics import OFFER_EXAMPLES, RANKERS
from schemas.records import DAY, AnyRecord
from schemas.results import ModelOrder
from schemas.topics import MODEL_ORDERS


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
        state.last = mark(record.id)
        if not is_due(state, example.matured_at, self._every, self._at_most):
            return state, ()
        return state, (Said(RANKERS, self._published(state, example.model, example.matured_at)),)

    def _obeyed(self, state: RankerLearner | None, order: ModelOrder) -> tuple[RankerLearner | None, Iterable[Said]]:
        obeying = state or RankerLearner()
        if order.features not in WIDTHS or not has_obeyed(obeying, order, self._verify):
            return state, ()
        version = self._published(obeying, order.model, max(order.event_time, obeying.published_at))
        return obeying, (Said(RANKERS, msgspec.structs.replace(version, order=order.event_id, why=order.why)),)

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
            last=state.last,
        )
