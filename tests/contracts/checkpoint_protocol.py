"""The checkpoint protocol in small: a counting processor, its owner, and a consumer that drops repeats."""

from collections.abc import Container
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from sinks.store import Commit, Store
from streams.suspicion import Suspicion
from tests.contracts.commits import INPUT, TASK

FORGET_AT = 4
MOST = 4
"""Inputs in one batch."""


class Input(NamedTuple):
    """A record of the log; its offset is its place there. One that `kills` is outlived by nobody who steps it."""

    key: str
    value: int
    kills: bool = False


class Count(msgspec.Struct, frozen=True, array_like=True):
    """The state of a key. It waits for its `total` as long as `seen` is odd."""

    seen: int
    total: int


class Said(msgspec.Struct, frozen=True, array_like=True):
    """The nth thing said about the input at `offset`, by whichever model was the newest at that moment."""

    offset: int
    n: int
    key: str
    count: Count
    model: int


@dataclass
class World:
    """What owners share: the logs of inputs and outputs, the newest model's version, and whether they note attempts."""

    inputs: list[Input] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)
    model: int = 0
    notes: bool = True


def step(state: Count | None, offset: int, record: Input, model: int) -> tuple[Count | None, list[Said]]:
    """Count a record and say so, twice where the total is even; forget the key at the fourth."""
    before = state or Count(0, 0)
    count = Count(before.seen + 1, before.total + record.value)
    said = [Said(offset, n, record.key, count, model) for n in range(2 - count.total % 2)]
    return (None if count.seen == FORGET_AT else count), said


def set_aside(offset: int) -> Said:
    """Return what is said of an input that was not stepped."""
    return Said(offset, 0, "", Count(0, 0), 0)


def dues_of(states: dict[str, Count | None]) -> dict[str, int]:
    """Return what each key waits for."""
    return {key: state.total for key, state in states.items() if state and state.seen % 2}


def fold(inputs: list[Input], aside: Container[int] = ()) -> tuple[dict[str, Count | None], list[Said]]:
    """Return the states and everything said after all inputs, those at offsets `aside` not stepped."""
    states: dict[str, Count | None] = {}
    everything: list[Said] = []
    for offset, record in enumerate(inputs):
        if offset in aside:
            everything.append(set_aside(offset))
            continue
        states[record.key], said = step(states.get(record.key), offset, record, model=0)
        everything += said
    return states, everything


def accepted(outputs: list[bytes]) -> list[Said]:
    """Return what a consumer takes of an output log: nothing at or before the last (offset, n) it has seen."""
    last = (-1, -1)
    taken: list[Said] = []
    for said in (msgspec.json.decode(each, type=Said) for each in outputs):
        if (said.offset, said.n) > last:
            last = (said.offset, said.n)
            taken.append(said)
    return taken


class Owner:
    """A process that follows the protocol: claim, produce the stored outbox, then take, commit, produce, take, …

    It notes the batches soon after a claim before it steps them, and each record that it steps alone.
    """

    def __init__(self, store: Store, world: World) -> None:
        self.store = store
        self.world = world
        self.die()

    def die(self) -> None:
        """Lose everything in memory."""
        self.epoch: int | None = None
        self.sequence = 0
        self.next_offset = 0
        self.taken = 0
        self.states: dict[str, Count | None] = {}
        self.outbox: list[bytes] = []
        self.prepared: Commit | None = None
        self.aside: set[int] = set()
        self.suspicion = Suspicion(MOST)

    async def claim(self) -> None:
        """Forget what was, and begin where the store says."""
        self.die()
        found = await self.store.claim(TASK)
        self.epoch, self.sequence = found.epoch, found.sequence
        self.suspicion.claimed(found.attempt)
        self.next_offset = found.offsets.get(INPUT, -1) + 1
        self.outbox = found.outbox.split(b"\n") if found.outbox else []

    def produce(self, most: int) -> None:
        """Put the next of the outbox into the output log."""
        self.world.outputs += self.outbox[:most]
        del self.outbox[:most]

    async def take(self, most: int) -> None:
        """Step the next inputs and prepare their commit; nothing when there are none. Dies of one that kills.

        Raises Fenced.
        """
        most = 1 if self.suspicion.alone else most
        batch = self.world.inputs[self.next_offset : self.next_offset + most]
        if not batch:
            return
        assert self.epoch is not None
        self.aside.clear()
        if (attempt := self.suspicion.attempt(INPUT, self.next_offset)) is not None and self.world.notes:
            await self.store.note(TASK, self.epoch, attempt)
        await self._read_through([record.key for record in batch])
        said: list[Said] = []
        for offset, record in enumerate(batch, self.next_offset):
            if offset in self.suspicion.deadly(INPUT.topic):
                self.aside.add(offset)
                said.append(set_aside(offset))
                continue
            if record.kills:
                self.die()
                return
            self.states[record.key], more = step(self.states[record.key], offset, record, self.world.model)
            said += more
        self.taken = len(batch)
        self.next_offset += self.taken
        self.prepared = self._commit({record.key: self.states[record.key] for record in batch}, said)

    async def commit(self, prepared: Commit) -> None:
        """Commit what was prepared; what it said is next to produce."""
        assert self.epoch is not None
        await self.store.commit(TASK, self.epoch, prepared)
        self.sequence, self.prepared = prepared.sequence, None
        self.suspicion.passed(self.taken)
        self.outbox = prepared.outbox.split(b"\n")

    async def _read_through(self, keys: list[str]) -> None:
        unseen = [key for key in dict.fromkeys(keys) if key not in self.states]
        for key, state in zip(unseen, await self.store.load(TASK, unseen), strict=True):
            self.states[key] = None if state is None else msgspec.json.decode(state, type=Count)

    def _commit(self, changed: dict[str, Count | None], said: list[Said]) -> Commit:
        return Commit(
            sequence=self.sequence + 1,
            states={key: None if state is None else msgspec.json.encode(state) for key, state in changed.items()},
            dues=dues_of(changed),
            offsets={INPUT: self.next_offset - 1},
            meta=b"",
            outbox=b"\n".join(msgspec.json.encode(each) for each in said),
        )
