"""Two owners, one log and every crash there is: what the checkpoint protocol keeps true at each step."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sinks.base import SinkBusy
from sinks.checkpoint import RedisStore
from sinks.connection import connect
from sinks.faulty import Broken
from sinks.faulty_store import CommitFault, FaultyStore
from sinks.memory_store import MemoryStore
from sinks.store import Commit, Fenced, Store
from streams.suspicion import ALONE, DEATHS
from tests.contracts.broken_stores import Careless, Forgetful, RestartedStore, Torn, Unfenced, Unordered
from tests.contracts.checkpoint_protocol import MOST, Count, Input, Owner, Said, World, accepted, dues_of, fold
from tests.contracts.commits import INPUT, TASK

T = TypeVar("T")
Opened = Callable[[], AbstractAsyncContextManager[Store]]

KEYS = "abc"
NAMES = st.sampled_from(["left", "right"])
KILLING = st.integers(0, 9).map(lambda drawn: drawn == 9)
ENDLESS = 100
MOVES = st.tuples(st.integers(1, MOST), st.just(CommitFault.NONE) | st.sampled_from(CommitFault))
"""How many records to take or produce, or how to commit."""


class CheckpointMachine(RuleBasedStateMachine):
    """Moves either owner some steps along the protocol, with faults or without, while inputs and models arrive.

    An owner that is not moved while the other claims is a zombie from then on, at whichever step it stood.
    """

    models_change = True
    records_kill = True

    def __init__(self, opened: Opened) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.resources = AsyncExitStack()
        self.store = self.run(self.resources.enter_async_context(opened()))
        self.faults: list[CommitFault] = []
        self.world = World(notes=self.records_kill)
        faulty = FaultyStore(self.store, iter(self.faults.pop, None))
        self.owners = {name: Owner(faulty, self.world) for name in ("left", "right")}
        self.newest: Owner | None = None
        self.applied: list[Commit] = []
        self.aside: set[int] = set()

    def run(self, question: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(question)

    @rule(inputs=st.lists(st.builds(Input, st.sampled_from(KEYS), st.integers(0, 9), KILLING), min_size=1, max_size=6))
    def inputs_arrive(self, inputs: list[Input]) -> None:
        self.world.inputs += [each._replace(kills=each.kills and self.records_kill) for each in inputs]

    @precondition(lambda self: self.models_change)
    @rule()
    def a_newer_model_arrives(self) -> None:
        self.world.model += 1

    @rule(name=NAMES)
    def an_owner_dies(self, name: str) -> None:
        self.owners[name].die()

    @rule(name=NAMES)
    def an_owner_claims(self, name: str) -> None:
        self.newest = self.owners[name]
        self.run(self.newest.claim())

    @rule(name=NAMES, moves=st.lists(MOVES, min_size=1, max_size=6))
    def an_owner_goes_on(self, name: str, moves: list[tuple[int, CommitFault]]) -> None:
        for most, fault in moves:
            self.move(name, most, fault)

    def move(self, name: str, most: int, fault: CommitFault) -> None:
        owner = self.owners[name]
        if owner.epoch is None:
            self.an_owner_claims(name)
        elif owner.outbox:
            owner.produce(most)
        elif owner.prepared is None:
            self.take(owner, most)
        else:
            self.commit(owner, owner.prepared, fault)

    def take(self, owner: Owner, most: int) -> None:
        try:
            self.run(owner.take(most))
        except Fenced:
            assert owner is not self.newest
            owner.die()

    def commit(self, owner: Owner, prepared: Commit, fault: CommitFault) -> None:
        reaches = fault not in (CommitFault.BUSY, CommitFault.BEFORE)
        fenced = reaches and (owner is not self.newest or prepared.sequence != len(self.applied) + 1)
        if reaches and not fenced:
            self.applied.append(prepared)
            self.aside |= owner.aside
        self.faults.append(fault)
        expected = Fenced if fenced else ERRORS.get(fault)
        if expected is None:
            self.run(owner.commit(prepared))
            return
        with pytest.raises(expected):
            self.run(owner.commit(prepared))
        owner.die()

    @invariant()
    def the_states_are_those_of_the_log_up_to_the_place(self) -> None:
        place = self.applied[-1].offsets[INPUT] if self.applied else -1
        states, _ = fold(self.world.inputs[: place + 1], self.aside)
        stored = self.run(self.store.load(TASK, KEYS))
        assert [state and msgspec.json.decode(state, type=Count) for state in stored] == [states.get(k) for k in KEYS]

    @invariant()
    def no_id_has_two_contents(self) -> None:
        contents = set(self.world.outputs)
        assert len({(said.offset, said.n) for said in map(decoded, contents)}) == len(contents)

    @invariant()
    def a_consumer_takes_everything_once_and_in_order(self) -> None:
        _, said = fold(self.world.inputs, self.aside)
        taken = accepted(self.world.outputs)
        assert [msgspec.structs.replace(each, model=0) for each in taken] == said[: len(taken)]

    def teardown(self) -> None:
        try:
            self.a_last_owner_leaves_nothing_undone()
        finally:
            self.run(self.resources.aclose())
            self.runner.close()

    def a_last_owner_leaves_nothing_undone(self) -> None:
        inputs = self.world.inputs
        deadly = {offset for offset, each in enumerate(inputs) if each.kills}
        deaths = self.deaths_until_all_is_taken(Owner(self.store, self.world))
        assert deadly <= self.aside
        assert deaths <= len(deadly) * (1 + DEATHS + ALONE)
        states, said = fold(inputs, self.aside)
        self.applied += [Commit(0, {}, {}, {INPUT: len(inputs) - 1}, b"", b"")]
        self.the_states_are_those_of_the_log_up_to_the_place()
        self.no_id_has_two_contents()
        assert self.run(self.store.claim(TASK)).dues == dues_of(states)
        assert len(accepted(self.world.outputs)) == len(said)

    def deaths_until_all_is_taken(self, last: Owner) -> int:
        """Let one owner after the other take what is left; return how many died of it."""
        deaths = -1
        while last.epoch is None and deaths < ENDLESS:
            deaths += 1
            self.run(last.claim())
            last.produce(len(last.outbox))
            while last.epoch is not None and last.next_offset < len(self.world.inputs):
                self.run(last.take(MOST))
                if last.prepared:
                    self.aside |= last.aside
                    self.run(last.commit(last.prepared))
                    last.produce(len(last.outbox))
        return deaths


ERRORS = {
    CommitFault.BUSY: SinkBusy,
    CommitFault.UNKNOWN: SinkBusy,
    CommitFault.BEFORE: Broken,
    CommitFault.AFTER: Broken,
}


def decoded(output: bytes) -> Said:
    return msgspec.json.decode(output, type=Said)


def hold(machine: type[CheckpointMachine], opened: Opened, **changed: Any) -> None:
    fixed = settings(deadline=None, suppress_health_check=list(HealthCheck), **changed)
    run_state_machine_as_test(lambda: machine(opened), settings=fixed)  # type: ignore[arg-type]


def in_memory(store: type[MemoryStore]) -> Opened:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        yield store()

    return opened


def test_no_crash_and_no_zombie_changes_what_comes_out() -> None:
    hold(CheckpointMachine, in_memory(MemoryStore), max_examples=2_000, stateful_step_count=30)


def test_nor_do_they_on_redis(redis_url: str) -> None:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        client = connect(redis_url.removesuffix("/0") + "/8", timeout_s=10)
        await client.flushdb()
        yield RedisStore(client)
        await client.aclose()

    hold(CheckpointMachine, opened, max_examples=100, stateful_step_count=40)


class RestartMachine(CheckpointMachine):
    """Loses commits too. Models stay as they are, and nothing is set aside: only the journal could tell which model
    spoke in a lost commit, and what it left out."""

    models_change = False
    records_kill = False

    @precondition(lambda self: self.applied)
    @rule()
    def the_store_restarts_without_its_last_commit(self) -> None:
        assert isinstance(self.store, RestartedStore)
        self.store.lose_a_commit()
        self.applied.pop()


def test_a_store_that_lost_its_last_commits_is_repaired_by_the_log() -> None:
    hold(RestartMachine, in_memory(RestartedStore), max_examples=200, stateful_step_count=30)


@pytest.mark.parametrize(
    ("machine", "store"),
    [
        (CheckpointMachine, Unfenced),
        (CheckpointMachine, Forgetful),
        (CheckpointMachine, Torn),
        (CheckpointMachine, Careless),
        (RestartMachine, Unordered),
    ],
)
def test_the_machine_finds_a_store_that_breaks_a_promise(
    machine: type[CheckpointMachine], store: type[MemoryStore]
) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        hold(
            machine,
            in_memory(store),
            max_examples=400,
            stateful_step_count=50,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            verbosity=Verbosity.quiet,
            report_multiple_bugs=False,
        )
