"""Orders to the learner of a model: back to an earlier version, or on from one taught anew without what misled it."""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from typing import NamedTuple

from online_models.release import pack, unpack
from online_models.snapshots import digest
from processors.learning import Learner
from schemas.results import Example, ModelOrder, ModelVersion

FIELDS = ("source", "user", "terminal", "currency", "event_id")
"""What outcomes can be told apart by."""


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
        if not equals or field not in FIELDS:
            raise ValueError(f"{text!r} is no exclusion: write FIELD=VALUE with a field of {', '.join(FIELDS)}")
        return cls(field, value)

    def has(self, example: Example) -> bool:
        """Return whether an outcome is one of these."""
        return bool(getattr(example, self.field) == self.value)


def back_to(version: ModelVersion, newest: ModelVersion, by: str = "") -> ModelOrder:
    """Return the order that puts a model back to one of its versions; `newest` is where it stands."""
    why = f"back from {newest.event_id} to {version.event_id}"
    return _order(version.blob, version, newest, why, by)


def taught_anew(
    base: ModelVersion | None,
    newest: ModelVersion,
    examples: Iterable[Example],
    features: tuple[str, ...],
    verify: Callable[[bytes], bytes],
) -> Learner:
    """Return a learner that went on from `base`, or from nothing, with the examples that matured after it.

    `examples` come in the order they were learned. Raises BadSignature, and ValueError for a base of other features.
    """
    learner = Learner(newest.kind if base is None else base.kind, features)
    if base is not None:
        release = unpack(verify(b64decode(base.blob)), base.kind, features)
        learner.obey(_order(base.blob, base, newest, "", ""), release)
    since = learner.learned_through
    for example in examples:
        if base is None or example.matured_at > since:
            learner.add(example)
    learner.learn()
    return learner


def on_from(
    learner: Learner, newest: ModelVersion, sign: Callable[[bytes], bytes], why: str, by: str = ""
) -> ModelOrder:
    """Return the order that puts a model where a learner has come; `newest` is where it stands."""
    blob = b64encode(sign(pack(learner.release))).decode()
    return _order(blob, learner, newest, why, by)


def _order(blob: str, at: ModelVersion | Learner, newest: ModelVersion, why: str, by: str) -> ModelOrder:
    """Return an order. The same one given twice has the same id, so that it is taken once."""
    return ModelOrder(
        event_id=f"{newest.event_id}>{digest(b64decode(blob))[:16]}",
        event_time=newest.event_time,
        tenant=newest.tenant,
        model=newest.model,
        kind=at.kind,
        features=newest.features,
        blob=blob,
        examples=at.examples,
        frauds=at.frauds,
        learned_through=at.learned_through,
        why=why,
        by=by,
    )
