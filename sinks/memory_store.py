"""The engine's store in memory, for the in-process engine and for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sinks.memory import MemoryValues
from sinks.progress import PROGRESS
from sinks.serving import apply
from sinks.store import Attempt, Claim, Commit, Fenced, Position


@dataclass(slots=True)
class _Checkpoint:
    epoch: int = 0
    sequence: int = 0
    offsets: dict[Position, int] = field(default_factory=dict)
    meta: bytes = b""
    outbox: bytes = b""
    dues: dict[str, int] = field(default_factory=dict)
    states: dict[str, bytes] = field(default_factory=dict)
    attempt: Attempt | None = None


class MemoryStore:
    """Keeps tasks in dicts; see Store. Never busy. Results for readers are in `values`: give that to a Reader."""

    def __init__(self, values: MemoryValues | None = None) -> None:
        self.values = MemoryValues() if values is None else values
        self._tasks: dict[str, _Checkpoint] = {}

    async def claim(self, task: str) -> Claim:
        """Take the task over."""
        kept = self._tasks.setdefault(task, _Checkpoint())
        kept.epoch += 1
        dues = dict(kept.dues)
        return Claim(kept.epoch, kept.sequence, dict(kept.offsets), kept.meta, kept.outbox, dues, kept.attempt)

    async def note(self, task: str, epoch: int, attempt: Attempt) -> None:
        """Note an attempt. Raises Fenced."""
        self._owned(task, epoch).attempt = attempt

    async def load(self, task: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the state of each key, None where there is none."""
        states = self._tasks.get(task, _Checkpoint()).states
        return [states.get(key) for key in keys]

    async def commit(self, task: str, epoch: int, commit: Commit) -> None:
        """Apply a batch. Raises Fenced."""
        kept = self._owned(task, epoch)
        if kept.sequence + 1 != commit.sequence:
            raise Fenced(f"{task} stands at sequence {kept.sequence}: {commit.sequence} does not follow")
        if commit.served:
            await apply(self.values, commit.served)
        if commit.progress:
            await self.values.hset(PROGRESS, task, commit.progress)
        _keep(kept, commit)

    def _owned(self, task: str, epoch: int) -> _Checkpoint:
        kept = self._tasks.get(task, _Checkpoint())
        if kept.epoch != epoch:
            raise Fenced(f"{task} belongs to epoch {kept.epoch} now, not to {epoch}")
        return kept


def _keep(kept: _Checkpoint, commit: Commit) -> None:
    for key, state in commit.states.items():
        kept.dues.pop(key, None)
        if state is None:
            kept.states.pop(key, None)
        else:
            kept.states[key] = state
    kept.dues.update(commit.dues)
    kept.sequence, kept.offsets = commit.sequence, dict(commit.offsets)
    kept.meta, kept.outbox, kept.attempt = commit.meta, commit.outbox, None
