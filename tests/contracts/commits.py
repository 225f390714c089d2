"""A commit with defaults: say what a test is about, leave out the rest."""

from typing import Any

from sinks.store import Commit, Position

TASK = "count/0"
INPUT = Position("transactions", 0)


def commit(sequence: int = 1, **changed: Any) -> Commit:
    fields: dict[str, Any] = {"states": {}, "dues": {}, "offsets": {INPUT: sequence}, "meta": b"", "outbox": b""}
    return Commit(sequence=sequence, **fields | changed)
