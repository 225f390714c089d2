"""How old an answer a client takes, and what it wants instead of an older one."""

from typing import Annotated, Literal, NamedTuple

from fastapi import Query, Request
from msgspec.structs import replace

from api.answers import Envelope
from api.problems import Refused

MaxAge = Annotated[
    int | None,
    Query(ge=0, description="For how many milliseconds newer events may have waited before this answer is stale."),
]
WhenStale = Annotated[
    Literal["answer", "refuse"],
    Query(description="A stale answer is given, marked as such, or refused by 409."),
]


class Bound(NamedTuple):
    """What a client takes."""

    max_age_ms: int | None = None
    when_stale: Literal["answer", "refuse"] = "answer"


def asked_bound(request: Request, max_age_ms: MaxAge = None, when_stale: WhenStale = "answer") -> None:
    """Keep what the client takes with its request, as a dependency of every route that answers with results."""
    request.state.bound = Bound(max_age_ms, when_stale)


def marked(request: Request, envelope: Envelope) -> Envelope:
    """Return the envelope as it is for this client: what is stale is the last good answer. Raises Refused (409)."""
    bound: Bound = getattr(request.state, "bound", Bound())
    behind = envelope.ages.commit_ms if envelope.lag is None else envelope.lag.ms
    stale = envelope.stale
    if bound.max_age_ms is not None:
        stale = behind is None or behind > bound.max_age_ms
    if stale and bound.when_stale == "refuse":
        waited = "nothing was ever committed" if behind is None else f"newer events have waited {behind} ms"
        raise Refused(409, f"This answer is stale: {waited}. Ask again, or take it by when_stale=answer.")
    return replace(envelope, stale=stale, source="last_good" if stale else envelope.source)
