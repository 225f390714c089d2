"""Orders to the learner of a model: back to an earlier version, or on from one taught anew without what misled it."""

from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from online_models.snapshots import digest
from processors.learning import Learner
from processors.ranker_learner import RankerLearner
from schemas.offer_results import OfferExample, RankerVersion
from schemas.results import Example, ModelOrder, ModelVersion

AnyExample = Example | OfferExample
AnyLearner = Learner | RankerLearner
AnyVersion = ModelVersion | RankerVersion

FIELDS: Mapping[type[AnyExample], tuple[str, ...]] = MappingProxyType(
    {
        Example: ("source", "user", "terminal", "currency", "event_id"),
        OfferExample: ("user", "offer", "decision", "policy", "arm", "event_id"),
    }
)
"""What outcomes of a fraud model, and those of a ranker, can be told apart by."""

RANKER = "ranker"
"""What an order says for the kind of a ranker, of which there is one."""


class Excluded(NamedTuple):
    """Outcomes whose field has a value."""

    field: str
    value: str

    @classmethod
    def parsed(cls, text: str) -> "Excluded":
        """Return what `field=value` says. Raises ValueError for another shape or an unknown field.

        >>> Excluded.parsed("source=call-centre")
        Excluded(field='source', value='call-centre')
        """
        field, equals, value = text.partition("=")
        known = dict.fromkeys(name for names in FIELDS.values() for name in names)
        if not equals or field not in known:
            raise ValueError(f"{text!r} is no exclusion: write FIELD=VALUE with a field of {', '.join(known)}")
        return cls(field, value)

    def has(self, example: AnyExample) -> bool:
        """Return whether an outcome is one of these."""
        return bool(getattr(example, self.field) == self.value)


class Place(NamedTuple):
    """How many outcomes of a log a version had learned; of the last `doubtful` it may lack some."""

    learned: int
    doubtful: int = 0


class Past:
    """The outcomes of a model that its log still has, in the order in which they were learned.

    `last` is the mark of the newest record, whether it was learned or passed over.
    """

    def __init__(self) -> None:
        self.outcomes: list[AnyExample] = []
        self.last = ""
        self._places: dict[str, int] = {}
        self._reached: list[int] = []

    def add(self, example: AnyExample) -> None:
        """Append an outcome."""
        self.outcomes.append(example)
        self._reached.append(max((example.matured_at, *self._reached[-1:])))

    def note(self, mark: str) -> None:
        """Note that the record with this mark comes behind the outcomes that there are by now."""
        self._places[mark] = len(self.outcomes)
        self.last = mark

    def place(self, version: AnyVersion | None) -> Place:
        """Return how far a version had learned: nothing of what is here, where the log begins behind it.

        One of an earlier release does not tell which record it learned last. It cannot have learned the first outcome
        that matured later than all it knew, nor what was learned after that one; and it had learned up to the first
        that matured at its `learned_through`. What lies between is in doubt.
        """
        if version is None:
            return Place(0)
        if version.last:
            return Place(self._places.get(version.last, 0))
        place = bisect_right(self._reached, version.learned_through)
        surely = bisect_left(self._reached, version.learned_through) + 1
        return Place(place, place - surely if surely <= place else place)

    def unseen(self, version: AnyVersion | None) -> bool:
        """Return whether a version counts more outcomes than the log has of those it had learned."""
        if version is None:
            return False
        return version.examples > sum(not corrects(each) for each in self.outcomes[: self.place(version).learned])


def back_to(version: AnyVersion, newest: AnyVersion, by: str = "") -> ModelOrder:
    """Return the order that puts a model back to one of its versions; `newest` is where it stands."""
    why = f"back from {newest.event_id} to {version.event_id}"
    return _order(version.blob, version, newest, why, by)


def taught_anew(
    base: AnyVersion | None,
    newest: AnyVersion,
    examples: Iterable[AnyExample],
    features: tuple[str, ...],
    verify: Callable[[bytes], bytes],
) -> AnyLearner:
    """Return a learner that went on from `base`, or from nothing, with these examples, which it had not learned.

    `examples` come in the order they were learned, and are of the kind that the model learns. From nothing, what
    corrects a ranker's examples before there is one is passed over, as OfferLearner does. `features` are those of a
    fraud model. Raises BadSignature, and ValueError for a base of other features.
    """
    learner = _new(base or newest, features)
    if base is not None:
        learner.obey(_order(base.blob, base, newest, "", ""), verify(b64decode(base.blob)))
    for example in examples:
        if base is not None or learner.examples or not corrects(example):
            learner.add(example)  # type: ignore[arg-type]  # each learner gets its own kind
    learner.learn()
    return learner


def on_from(
    learner: AnyLearner, newest: AnyVersion, sign: Callable[[bytes], bytes], why: str, by: str = ""
) -> ModelOrder:
    """Return the order that puts a model where a learner has come; `newest` is where it stands."""
    blob = b64encode(sign(learner.packed())).decode()
    return _order(blob, learner, newest, why, by)


def kind_of(at: AnyVersion | AnyLearner) -> tuple[str, int]:
    """Return what kind of model this is, and how many of its outcomes were frauds, or earned something."""
    return (at.kind, at.frauds) if isinstance(at, ModelVersion | Learner) else (RANKER, at.rewarded)


def corrects(example: AnyExample) -> bool:
    """Return whether this corrects an example of a ranker; a fraud model learns late outcomes like others."""
    return isinstance(example, OfferExample) and example.late


def _new(version: AnyVersion, features: tuple[str, ...]) -> AnyLearner:
    return RankerLearner() if isinstance(version, RankerVersion) else Learner(version.kind, features)


def _order(blob: str, at: AnyVersion | AnyLearner, newest: AnyVersion, why: str, by: str) -> ModelOrder:
    """Return an order. The same one given twice has the same id, so that it is taken once."""
    kind, positives = kind_of(at)
    return ModelOrder(
        event_id=f"{newest.event_id}>{digest(b64decode(blob))[:16]}",
        event_time=newest.event_time,
        tenant=newest.tenant,
        model=newest.model,
        kind=kind,
        features=newest.features,
        blob=blob,
        examples=at.examples,
        frauds=positives,
        learned_through=at.learned_through,
        why=why,
        by=by,
        last=at.last,
    )
