"""Stores that lose their last commits, or break one promise each."""

from copy import deepcopy

import msgspec

from sinks.memory_store import MemoryStore
from sinks.store import Attempt, Claim, Commit
from tests.contracts.commits import TASK


class RestartedStore(MemoryStore):
    """A store that can lose its last commit, as one that writes to disk once a second does when it is killed."""

    def __init__(self) -> None:
        super().__init__()
        self._files = [deepcopy(self._tasks)]

    async def commit(self, task: str, epoch: int, commit: Commit) -> None:
        file = deepcopy(self._tasks)
        await super().commit(task, epoch, commit)
        self._files.append(file)

    def lose_a_commit(self) -> None:
        epoch = self._tasks[TASK].epoch
        self._tasks = self._files.pop()
        self._tasks[TASK].epoch = epoch  # no epoch is given twice


class Unfenced(MemoryStore):
    """Takes commits and notes of whichever epoch."""

    async def commit(self, task: str, epoch: int, commit: Commit) -> None:
        await super().commit(task, self._tasks[task].epoch, commit)

    async def note(self, task: str, epoch: int, attempt: Attempt) -> None:
        await super().note(task, self._tasks[task].epoch, attempt)


class Forgetful(MemoryStore):
    """Loses the outbox."""

    async def claim(self, task: str) -> Claim:
        return msgspec.structs.replace(await super().claim(task), outbox=b"")


class Torn(MemoryStore):
    """Keeps the place and loses a state."""

    async def commit(self, task: str, epoch: int, commit: Commit) -> None:
        states = dict(list(commit.states.items())[1:])
        await super().commit(task, epoch, msgspec.structs.replace(commit, states=states))


class Careless(MemoryStore):
    """Loses what was noted of an attempt."""

    async def note(self, task: str, epoch: int, attempt: Attempt) -> None:
        return


class Unordered(RestartedStore):
    """Takes commits of whichever sequence."""

    async def commit(self, task: str, epoch: int, commit: Commit) -> None:
        following = self._tasks[task].sequence + 1
        await super().commit(task, epoch, msgspec.structs.replace(commit, sequence=following))
