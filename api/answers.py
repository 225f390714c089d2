"""What the API answers: an envelope that says how fresh an answer is, around the result as it was stored.

The structs describe the answers, for OpenAPI and for clients. They are not built when answering: `spliced` puts the
stored bytes into the envelope as they are.
"""

from typing import Literal

import msgspec

from schemas.results import CardFeatures, FraudScore, ModelVersion
from sinks.base import Progress


class Ages(msgspec.Struct, frozen=True):
    """Milliseconds since the event that the answer is about, and since the pipeline last committed; None if never."""

    event_ms: int
    commit_ms: int | None


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """How fresh an answer is and where it comes from.

    `as_of` is the newest event time in it, in milliseconds since 1970 UTC. `stale` says that the pipeline has not
    committed lately, so newer events may be missing. `model` and `version` made the score; None where none did.
    """

    as_of: int
    ages: Ages
    stale: bool
    source: Literal["model", "rules", "features", "models"]
    model: str | None
    version: int | None


class ScoreAnswer(Envelope, frozen=True, kw_only=True):
    """A fraud score. `feature_names` name its vector, where the feature set is known to this API."""

    feature_names: tuple[str, ...] | None
    score: FraudScore


class FeaturesAnswer(Envelope, frozen=True, kw_only=True):
    """A customer's features as of their newest event. `feature_names` name `features.customer`, where known."""

    feature_names: tuple[str, ...] | None
    features: CardFeatures


class ModelsAnswer(Envelope, frozen=True, kw_only=True):
    """The newest published version of each model; blobs are left out."""

    models: dict[str, ModelVersion]


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Whether results can be read, and how far each processor has come."""

    status: Literal["ready"]
    stale: bool
    processors: dict[str, Progress]


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """That this process answers."""

    status: Literal["alive"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no answer, as RFC 9457 has it. `detail` says what to do."""

    type: str
    title: str
    status: int
    detail: str


class Head(msgspec.Struct, frozen=True):
    """The part of a stored result that its envelope needs."""

    event_time: int
    source: Literal["model", "rules", "features"] = "features"
    model: str | None = None
    version: int | None = None
    features: str | None = None


head = msgspec.json.Decoder(Head).decode


def spliced(envelope: Envelope, **parts: bytes) -> bytes:
    """Return the envelope's JSON with `parts`, each JSON already, as further fields.

    >>> spliced(Envelope(as_of=1, ages=Ages(2, 3), stale=False, source="rules", model=None, version=None), a=b"[4]")
    b'{"as_of":1,"ages":{"event_ms":2,"commit_ms":3},"stale":false,"source":"rules","model":null,"version":null,"a":[4]}'
    """
    fields = (b',"%s":%s' % (name.encode(), value) for name, value in parts.items())
    return b"".join((msgspec.json.encode(envelope)[:-1], *fields, b"}"))


def joined(members: dict[str, bytes]) -> bytes:
    """Return a JSON object of members that are JSON already.

    >>> joined({"a": b"1", "b": b"[2]"})
    b'{"a":1,"b":[2]}'
    """
    return b"{%s}" % b",".join(b"%s:%s" % (msgspec.json.encode(name), value) for name, value in members.items())
