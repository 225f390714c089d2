"""A store whose commits fail on purpose, on either side of their effect."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from sinks.base import SinkBusy
from sinks.faulty import Broken
from sinks.store import Attempt, Claim, Commit, Store


class CommitFault(StrEnum):
    """What goes wrong with one commit."""

    NONE = "none"
    BUSY = "busy"
    """The store is away: SinkBusy, nothing is applied."""
    UNKNOWN = "unknown"
    """All is applied, but the answer is lost: SinkBusy too."""
    BEFORE = "before"
    """The owner dies before anything is applied: Broken."""
    AFTER = "after"
    """The owner dies once all is applied: Broken."""


class FaultyStore:
    """Passes everything on to `store`, and commits with the next of `faults`; without, once those are used up."""

    def __init__(self, store: Store, faults: Iterable[CommitFault], retry_after: float = 0.01) -> None:
        self._store = store
        self._faults = iter(faults)
        self._retry_after = retry_after

    async def claim(self, task: str) -> Claim:
        """Take the task over."""
        return await self._store.claim(task)

    async def note(self, task: str, epoch: int, attempt: Attempt) -> None:
        """Note an attempt."""
        await self._store.note(task, epoch, attempt)

    async def load(self, task: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the state of each key, None where there is none."""
        return await self._store.load(task, keys)

    async def commit(self, task: str, epoch: int, commit: Commit) -> None:
        """Commit with the next fault. Raises what the fault says, and what the store raises."""
        fault = next(self._faults, CommitFault.NONE)
        if fault not in (CommitFault.BUSY, CommitFault.BEFORE):
            await self._store.commit(task, epoch, commit)
        if fault in (CommitFault.BUSY, CommitFault.UNKNOWN):
            raise SinkBusy(self._retry_after)
        if fault in (CommitFault.BEFORE, CommitFault.AFTER):
            raise Broken(f"the owner died at sequence {commit.sequence}: {fault}")
