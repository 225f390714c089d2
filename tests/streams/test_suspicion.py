"""A record that kills its workers is found and set aside, and no other: not for a store that is away either."""

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.privacy import Tokeniser
from schemas.results import DeadLetter
from schemas.topics import DEAD_LETTERS
from sinks.faulty_store import CommitFault, FaultyStore
from sinks.memory_store import MemoryStore
from sinks.store import Attempt, Position
from streams.dead_letters import opened
from streams.inbound import KILLED, Edge, Inbound
from streams.journal import replay_journal
from streams.kafka_log import Stored
from streams.lane import Lane
from streams.sealing import Seal
from streams.suspicion import ALONE, DEATHS, Suspicion
from tests.builders import record
from tests.contracts import pipelines as small
from tests.streams.arrivals import VISITS, Porter
from tests.streams.memory_log import MemoryLog, entry, journalled
from tests.streams.test_lane import DEADLINE, Broker, Died, House, arrivals, finished, logs, oracle, states

HERE = Position("visits", 0)


class Mortal(Porter):
    """A porter that does not outlive some visits."""

    def __init__(self, deadly: Collection[int]) -> None:
        self.deadly = deadly

    def step(self, state: Any, record: Any, tables: Any) -> Any:
        """Die, or do as a porter does."""
        if record.offset in self.deadly and record.topic is VISITS:
            raise Died(record.id)
        return super().step(state, record, tables)


def letter_of(item: Inbound) -> Inbound:
    """Return what the edge makes of a record that kills."""
    place = {"topic": "visits", "partition": 0, "offset": item.offset}
    letter = DeadLetter(
        event_id=f"visits/0/{item.offset}", event_time=0, reason=KILLED.reason, detail="", value="", **place
    )  # type: ignore[arg-type]
    return Inbound(VISITS, item.offset, -1, record(letter, DEAD_LETTERS, partition=0), None, letter.event_id)


async def lived(house: House, deadly: Collection[int], most: int) -> int:
    """Run owner after owner until all of the logs are taken, `most` at most; return how many died."""
    ends = {Position(topic, 0): len(log) - 1 for topic, log in house.logs.items() if log}
    for deaths in range(most + 1):
        lane = Lane(Mortal(deadly), 0, house.surroundings())
        try:
            taken = await lane.claim()
            for topic, log in house.logs.items():
                known = lane.suspicion.deadly(topic)
                items = log[taken.get(Position(topic, 0), -1) + 1 :]
                lane.put(topic, [letter_of(item) if item.offset in known else item for item in items])
            await finished(lane, ends)
        except Died:
            continue
        return deaths
    raise AssertionError(f"more than {most} died")


def letters(house: House) -> list[int]:
    return [DEAD_LETTERS.decode(each.value).offset for each in house.broker.said() if each.topic == DEAD_LETTERS.name]


faults = st.lists(st.sampled_from([CommitFault.NONE, CommitFault.BUSY, CommitFault.UNKNOWN]), max_size=8)


@settings(max_examples=100)
@given(arrivals, arrivals, st.sets(st.integers(0, 24), max_size=2), faults, st.integers(1, 30))
def test_exactly_the_records_that_kill_are_set_aside(
    visits: list[tuple[str, int]],
    corrections: list[tuple[str, int]],
    deadly: set[int],
    faults: list[CommitFault],
    batch: int,
) -> None:
    deadly = {offset for offset in deadly if offset < len(visits)}
    kept = MemoryStore()
    # By time, so that the order of the merge is the same with and without those that kill.
    visits, corrections = (sorted(each, key=lambda visit: visit[1]) for each in (visits, corrections))
    house = House(logs(visits, corrections), FaultyStore(kept, faults, 0.0), Broker(), batch)
    deaths = asyncio.run(lived(house, deadly, len(deadly) * (1 + DEATHS + ALONE)))
    good = house.logs | {"visits": [item for item in house.logs["visits"] if item.offset not in deadly]}
    said, expected = oracle(good)
    assert sorted(letters(house)) == sorted(deadly)
    assert deaths >= len(deadly) * ALONE
    assert house.broker.counts() == said
    assert asyncio.run(states(kept)) == expected
    assert sorted(at for entry in house.broker.journal() for at in entry.quarantined) == sorted(
        ("visits", offset) for offset in deadly
    )


def test_a_record_of_which_nobody_died_twice_is_stepped() -> None:
    """Whoever was killed from outside while it stepped a record alone was not killed by it."""
    house = House(logs([("ann", 1), ("bob", 2)]), crashes=["stepped"] * (DEATHS + ALONE - 1))
    assert asyncio.run(lived(house, (), 10)) == DEATHS + ALONE - 1
    assert letters(house) == []


def test_who_was_killed_twice_at_one_record_alone_costs_that_record() -> None:
    """Nobody can tell it from one that kills: it becomes a dead letter, which can be sent back."""
    house = House(logs([("ann", 1), ("bob", 2)]), crashes=["stepped"] * (DEATHS + ALONE))
    asyncio.run(lived(house, (), 10))
    assert letters(house) == [0]


def test_after_a_claim_batches_are_noted_until_as_many_records_as_a_batch_has_are_committed() -> None:
    suspicion = Suspicion(100)
    suspicion.claimed(Attempt(1))
    for offset in range(5, 105, 25):
        assert suspicion.attempt(HERE, offset) == Attempt(2)
        suspicion.passed(25)
    assert suspicion.attempt(HERE, 105) is None


async def lived_on_less_and_less(house: House, deadly: int) -> int:
    """Run owner after owner, each of which gets half as many records at a time as the last; return how many died."""
    for deaths in range(20):
        few = max(1, 8 >> deaths)
        lane = Lane(Mortal({deadly}), 0, house.surroundings())
        first = (await lane.claim()).get(HERE, -1) + 1
        known = lane.suspicion.deadly("visits")
        items = [letter_of(item) if item.offset in known else item for item in house.logs["visits"][first:]]
        running = asyncio.create_task(lane.run())
        for at in range(0, len(items), few):
            lane.put("visits", arriving := items[at : at + few])
            while not running.done() and lane.offsets.get(HERE, -1) < arriving[-1].offset:
                await asyncio.sleep(0)
        lane.stop()
        try:
            await running
        except Died:
            continue
        return deaths
    raise AssertionError("they die for ever")


def test_owners_that_commit_a_little_before_they_die_are_counted_too() -> None:
    house = House(logs([(f"v{n}", n) for n in range(26)]), batch=30)
    assert asyncio.run(asyncio.wait_for(lived_on_less_and_less(house, 23), DEADLINE)) <= 1 + DEATHS + ALONE
    assert letters(house) == [23]


def test_records_are_stepped_alone_once_owners_have_died_at_their_first_batch() -> None:
    suspicion = Suspicion(100)
    suspicion.claimed(Attempt(DEATHS - 1))
    assert suspicion.alone == 0
    suspicion = Suspicion(100)
    suspicion.claimed(Attempt(DEATHS))
    assert suspicion.alone == 100
    assert suspicion.attempt(HERE, 5) == Attempt(1, HERE, 5)
    suspicion.passed(1)
    assert suspicion.attempt(HERE, 6) == Attempt(1, HERE, 6)
    suspicion.passed(99)
    assert suspicion.attempt(HERE, 7) is None


def test_deaths_are_counted_for_one_record_and_not_for_the_next() -> None:
    suspicion = Suspicion(100)
    suspicion.claimed(Attempt(ALONE - 1, HERE, 5))
    assert suspicion.attempt(HERE, 6) == Attempt(1, HERE, 6)
    suspicion.claimed(Attempt(ALONE - 1, HERE, 5))
    assert suspicion.attempt(HERE, 5) == Attempt(ALONE, HERE, 5)


def test_who_finds_its_own_attempt_again_has_not_died_of_it() -> None:
    suspicion = Suspicion(100)
    suspicion.claimed(Attempt(ALONE - 1, HERE, 5))
    own = suspicion.attempt(HERE, 5)
    suspicion.claimed(own)
    assert suspicion.deadly("visits") == ()
    assert suspicion.attempt(HERE, 5) == own


class Gate(MemoryStore):
    """A store where whoever notes a single record is kept waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.noted, self.opened = asyncio.Event(), asyncio.Event()

    async def note(self, task: str, epoch: int, attempt: Attempt) -> None:
        await super().note(task, epoch, attempt)
        if attempt.position is not None:
            self.noted.set()
            await self.opened.wait()


def test_while_a_suspect_is_stepped_no_other_lane_of_the_process_steps_anything() -> None:
    async def told() -> list[bool]:
        house = House(logs([("ann", 1)]), Gate())
        around = house.surroundings()
        suspicious, other = Lane(Porter(), 0, around), Lane(Porter(), 1, around)
        await house.store.note("porter/0", (await house.store.claim("porter/0")).epoch, Attempt(DEATHS))
        for lane in (suspicious, other):
            await lane.claim()
            lane.put("visits", house.logs["visits"])
        running = [asyncio.create_task(lane.run()) for lane in (suspicious, other)]
        assert isinstance(house.store, Gate)
        await house.store.noted.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        meanwhile = bool(other.offsets)
        house.store.opened.set()
        while not (suspicious.offsets and other.offsets):
            await asyncio.sleep(0)
        for lane in (suspicious, other):
            lane.stop()
        await asyncio.gather(*running)
        return [meanwhile, bool(other.offsets)]

    assert asyncio.run(asyncio.wait_for(told(), DEADLINE)) == [False, True]


@pytest.mark.parametrize(("topic", "offsets"), [("visits", (5,)), ("corrections", ())])
def test_the_record_to_set_aside_is_of_one_topic(topic: str, offsets: tuple[int, ...]) -> None:
    suspicion = Suspicion(100)
    suspicion.claimed(Attempt(ALONE, HERE, 5))
    assert tuple(suspicion.deadly(topic)) == offsets


def test_what_is_set_aside_is_a_dead_letter_with_its_bytes_and_is_not_even_decoded() -> None:
    seal = Seal(b"key")
    raws = [Stored(offset, 7, b"ann", b"[" * (offset + 1), []) for offset in range(3)]
    admitted = Edge(Tokeniser({"1": b"key"}), seal).admit(VISITS, 0, raws, deadly=(1,))
    assert [item.quarantined for item in admitted] == [False, True, False]
    letter = admitted[1].record.message
    assert (letter.event_id, letter.reason) == ("visits/0/1", "killed_the_worker")
    assert opened(letter, seal).value == b"[["


def test_a_replay_leaves_out_what_the_journal_says_was_set_aside() -> None:
    log = MemoryLog()
    log.append(small.VISITS, [small.Visit(f"v{n}", n, "ann") for n in range(3)])
    run = (small.VISITS.name, 0, 0, 2)
    journalled(log, entry("counter/0", 1, run, quarantined=((small.VISITS.name, 1),)))
    said = list(replay_journal(small.PIPELINE, log, Edge(Tokeniser({"1": b"key"}), Seal(b"key"))))
    assert [each.id for each in said] == ["v0>counter.0", f"{small.VISITS.name}/0/1>edge.0", "v2>counter.0"]
