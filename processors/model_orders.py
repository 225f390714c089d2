"""Orders to the learner of a model: back to an earlier version, or on from one taught anew without what misled it."""

from base64 import b64decode, b64encode
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
    """Return a learner that went on from `base`, or from nothing, with the examples that matured after it.

    `examples` come in the order they were learned, and are of the kind that the model learns. `features` are those of a
    fraud model. Raises BadSignature, and ValueError for a base of other features.
    """
    learner = _new(base or newest, features)
    if base is not None:
        learner.obey(_order(base.blob, base, newest, "", ""), verify(b64decode(base.blob)))
    since = learner.learned_through
    for example in examples:
        if base is None or example.matured_at > since:
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
    )
