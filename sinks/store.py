"""The engine's store: what a task remembers, written with its results and its place in the log in one atomic step."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from sinks.serving import Served


class Fenced(RuntimeError):
    """Another owner has claimed the task since, or the commit does not follow the last one: nothing was changed."""


class Position(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Commit(msgspec.Struct, frozen=True):
    """The whole effect of one batch of a task. Applied all or not at all.

    `states` maps keys to encoded states, None where the key is forgotten; `dues` maps the same keys to the event time
    (milliseconds) their state waits for, and lacks those that wait for nothing. `offsets` is the last offset taken of
    each input partition, all of them. `sequence` is one more than the last commit's; the first is 1. `outbox` are the
    bytes of everything said, kept until the next commit; `meta` is the task's own (watermarks, table positions).
    `progress` is what readers are told of it, see `progress_field`; empty tells them nothing new.
    """

    sequence: int
    states: dict[str, bytes | None]
    dues: dict[str, int]
    offsets: dict[Position, int]
    meta: bytes
    outbox: bytes
    served: tuple[Served, ...] = ()
    progress: bytes = b""


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """What an owner notes before it steps what may kill it: how many will have died of the same if it does, `deaths`.

    With `position` and `offset` it is about to step that record alone; without, the first batch since its claim.
    """

    deaths: int
    position: Position | None = None
    offset: int = -1


class Claim(msgspec.Struct, frozen=True):
    """What a new owner of a task finds: its epoch, and the last commit's place, meta, outbox and all dues.

    A task without commits has sequence 0 and nothing else. Epochs of a task grow, not by one, and none is given twice.
    `attempt` is the last one that was noted since the last commit.
    """

    epoch: int
    sequence: int
    offsets: dict[Position, int]
    meta: bytes
    outbox: bytes
    dues: dict[str, int]
    attempt: Attempt | None = None


class Store(Protocol):
    """Where tasks keep their state. Bytes only; a task is named "processor/partition"."""

    async def claim(self, task: str) -> Claim:
        """Take the task over: from now on every commit of another epoch is refused. Raises SinkBusy."""
        ...

    async def note(self, task: str, epoch: int, attempt: Attempt) -> None:
        """Note an attempt, in place of the one before; the next commit ends it. Raises Fenced and SinkBusy."""
        ...

    async def load(self, task: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the encoded state of each key, None where there is none. Raises SinkBusy."""
        ...

    async def commit(self, task: str, epoch: int, commit: Commit) -> None:
        """Apply a batch. Raises Fenced when the epoch is not the task's newest or the sequence does not follow, and
        SinkBusy when the store is away.

        After SinkBusy it is unknown whether the commit was applied, and by whom a later one: forget what is in memory
        and begin again from `claim`, which tells. A commit still on its way is refused from then on.
        """
        ...
