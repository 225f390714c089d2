"""A small stream of its own: visits that are counted per guest until the guest has stayed away for a while."""

from collections.abc import Iterable
from typing import Any

import msgspec

from processors.base import Said, Tables
from schemas.records import AnyRecord, AnyTopic, Due, Record, Topic
from streams.inbound import Inbound
from streams.outbox import Origin

AWAY = 20
"""A guest who stays away longer than this, in milliseconds, is forgotten."""


class Visit(msgspec.Struct, frozen=True):
    """A guest who comes, or, as a correction, who came `more` times than was seen."""

    guest: str
    at: int
    more: int = 0


class Counted(msgspec.Struct, frozen=True):
    """How often a guest has come by then; `gone` once they have stayed away."""

    guest: str
    at: int
    visits: int
    gone: bool = False


class Guest(msgspec.Struct):
    """How often a guest has come, and when they are forgotten."""

    visits: int
    due: int | None


VISITS: Topic[Visit] = Topic("visits", Visit, key=lambda m: m.guest, time=lambda m: m.at)
CORRECTIONS: Topic[Visit] = Topic("corrections", Visit, key=lambda m: m.guest, time=lambda m: m.at)
COUNTS: Topic[Counted] = Topic("counts", Counted, key=lambda m: m.guest, time=lambda m: m.at)


class Porter:
    """Counts visits, says each count, and says goodbye to those who stay away."""

    name = "porter"
    inputs = (VISITS, CORRECTIONS)
    outputs = (COUNTS,)
    tables = ()
    state = Guest

    def step(self, state: Guest | None, record: AnyRecord, tables: Tables) -> tuple[Guest | None, Iterable[Said]]:
        """Count a visit, or forget a guest."""
        message = record.message
        if isinstance(message, Due):
            visits = state.visits if state is not None else 0
            return None, (Said(COUNTS, Counted(message.key, message.at, visits, gone=True)),)
        state = state or Guest(0, None)
        state.visits += 1 + message.more
        state.due = message.at + AWAY
        return state, (Said(COUNTS, Counted(message.guest, message.at, state.visits)),)


def arrived(topic: AnyTopic, offset: int, message: Any, origin: Origin | None = None) -> Inbound:
    """Return a message as it was read at an offset of partition 0; with an origin, as something we said ourselves."""
    identity, watermark = (origin.id, origin.watermark) if origin else (f"{topic.name}-{offset}", None)
    record = Record(topic, message, identity, 0, offset, 0, watermark)
    return Inbound(topic, offset, topic.time(message), record, origin, topic.key(message))
