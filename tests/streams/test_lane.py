"""A lane has its effects exactly once: wherever it dies, whatever its store does, and however small its cache is."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.customers import CustomerFeatures
from schemas.records import AnyRecord, AnyTopic
from schemas.results import DeadLetter, JournalEntry
from schemas.topics import CUSTOMER_LABELS, DEAD_LETTERS, JOURNAL, TRANSACTIONS
from sinks.faulty import Broken
from sinks.faulty_store import CommitFault, FaultyStore
from sinks.memory_store import MemoryStore
from sinks.serving import Reader
from sinks.store import Position, Store
from streams import lane as lanes
from streams.inbound import Inbound
from streams.lane import Forgotten, Lane
from streams.outbox import Origin, Outbound
from streams.pipeline import Pipeline
from streams.state_codec import state_codec
from streams.stepper import OtherSetup
from streams.surroundings import Surroundings
from streams.task import Task
from tests.builders import record, transaction
from tests.streams.arrivals import CORRECTIONS, COUNTS, VISITS, Counted, Porter, Visit, arrived

TASK = "porter/0"
DEADLINE = 20.0
POINTS = ("stepped", "committed", "half produced", "produced")


class Died(RuntimeError):
    """The process ended here."""


@dataclass
class Broker:
    """Where said records go: a log to which a batch may be appended in part, and again."""

    log: list[tuple[str, int, int, Outbound]] = field(default_factory=list)
    dies_within: bool = False

    async def produce(self, task: str, sequence: int, said: Sequence[Outbound]) -> None:
        """Append a batch, or half of it."""
        for n, each in enumerate(said):
            if self.dies_within and n >= len(said) // 2:
                self.dies_within = False
                raise Died("half produced")
            self.log.append((task, sequence, n, each))

    def said(self) -> list[Outbound]:
        """Return what a consumer that drops repeats has read; what is repeated is the same, byte for byte."""
        seen: dict[tuple[str, int, int], Outbound] = {}
        for *place, each in self.log:
            task, sequence, n = place
            assert seen.setdefault((task, sequence, n), each) == each
        return list(seen.values())

    def counts(self) -> list[tuple[str, bytes]]:
        """Return the id and bytes of everything that was counted."""
        return [(each.id, each.value) for each in self.said() if each.topic == COUNTS.name]

    def journal(self) -> list[JournalEntry]:
        """Return the journal, without repeats."""
        return [JOURNAL.decode(each.value) for each in self.said() if each.topic == JOURNAL.name]


@dataclass
class House:
    """Logs of visits and corrections, and everything a lane needs around it."""

    logs: dict[str, list[Inbound]]
    store: Store = field(default_factory=MemoryStore)
    broker: Broker = field(default_factory=Broker)
    batch: int = 3
    cache: int = 1_000
    crashes: list[str | None] = field(default_factory=list)
    linger: float = 0.0
    others: tuple[Any, ...] = ()

    def lane(self, processor: Any = None) -> Lane:
        """Return a new owner of the task, as after a restart."""
        return Lane(processor or Porter(), 0, self.surroundings())

    def surroundings(self) -> Surroundings:
        """Return what an owner has around it."""
        return Surroundings(
            store=self.store,
            deliveries=self.broker,  # type: ignore[arg-type]
            tables={},
            table_positions=dict,
            at_end=lambda *_: True,
            reached=lambda _: None,
            pipeline=Pipeline(self.others),
            batch=self.batch,
            cache=self.cache,
            linger=self.linger,
            failpoint=self._reached,
        )

    def _reached(self, point: str) -> None:
        """Die where the next crash wants it."""
        if point == "stepped":
            self._planned = self.crashes.pop(0) if self.crashes else None
            self.broker.dies_within = self._planned == "half produced"
        if point == self._planned:
            raise Died(point)

    _planned: str | None = None

    async def live(self) -> Lane:
        """Run owner after owner until all of the logs are taken; return the last."""
        while True:
            lane = self.lane()
            try:
                taken = await lane.claim()
                for topic, log in self.logs.items():
                    lane.put(topic, log[taken.get(Position(topic, 0), -1) + 1 :])
                await finished(lane, {Position(topic, 0): len(log) - 1 for topic, log in self.logs.items() if log})
            except (Died, Broken):
                continue
            return lane


async def finished(lane: Lane, offsets: dict[Position, int]) -> None:
    """Run a lane until its offsets are these. Raises what it dies of."""
    await until(lane, lambda: lane.offsets == offsets)


async def until(lane: Lane, done: Callable[[], bool]) -> None:
    """Run a lane until something is so. Raises what it dies of."""
    running = asyncio.create_task(lane.run())
    async with asyncio.timeout(DEADLINE):
        while not running.done() and not done():
            await asyncio.sleep(0)
        lane.stop()
        await running


def logs(visits: Iterable[tuple[str, int]], corrections: Iterable[tuple[str, int]] = ()) -> dict[str, list[Inbound]]:
    return {
        "visits": [arrived(VISITS, n, Visit(guest, at)) for n, (guest, at) in enumerate(visits)],
        "corrections": [arrived(CORRECTIONS, n, Visit(guest, at, 1)) for n, (guest, at) in enumerate(corrections)],
    }


def merged(logs: dict[str, list[Inbound]]) -> list[AnyRecord]:
    """Return the records in the order a lane that has them all takes them: oldest head first, corrections before."""
    heads = {name: list(log) for name, log in logs.items()}
    taken = []
    while any(heads.values()):
        name = min((head[0].time, name) for name, head in heads.items() if head)[1]
        taken.append(heads[name].pop(0).record)
    return taken


def oracle(logs: dict[str, list[Inbound]]) -> tuple[list[tuple[str, bytes]], dict[str, Any]]:
    """Return what a task in one process says about the same records, and the states it ends with."""
    task = Task(Porter(), {}, {})
    said = [each for record in merged(logs) for each in task.step(record)]
    return [(each.id, COUNTS.encode(each.message)) for each in said], dict(task.states)


async def states(store: Store) -> dict[str, Any]:
    guests = ["ann", "bob", "cid", "dan"]
    codec = state_codec(Porter())
    blobs = await store.load(TASK, guests)
    return {guest: codec.decode(blob) for guest, blob in zip(guests, blobs, strict=True) if blob is not None}


arrivals = st.lists(st.tuples(st.sampled_from(["ann", "bob", "cid", "dan"]), st.integers(0, 120)), max_size=25)
faults = st.lists(st.sampled_from(CommitFault), max_size=8)
crashes = st.lists(st.none() | st.sampled_from(POINTS), max_size=8)


@settings(max_examples=150)
@given(arrivals, arrivals, faults, crashes, st.integers(1, 30), st.integers(1, 5))
def test_whatever_fails_what_is_said_and_kept_equals_the_oracle(
    visits: list[tuple[str, int]],
    corrections: list[tuple[str, int]],
    faults: list[CommitFault],
    crashes: list[str | None],
    batch: int,
    cache: int,
) -> None:
    kept = MemoryStore()
    house = House(logs(visits, corrections), FaultyStore(kept, faults, 0.0), Broker(), batch, cache, crashes)
    said, expected = oracle(house.logs)
    asyncio.run(house.live())
    assert house.broker.counts() == said
    assert asyncio.run(states(kept)) == expected
    assert asyncio.run(kept.claim(TASK)).dues == {guest: state.due for guest, state in expected.items()}


@given(arrivals, arrivals, crashes, st.integers(1, 10))
def test_the_journal_tells_every_record_taken_once_and_in_order(
    visits: list[tuple[str, int]], corrections: list[tuple[str, int]], crashes: list[str | None], batch: int
) -> None:
    house = House(logs(visits, corrections), batch=batch, crashes=crashes)
    asyncio.run(house.live())
    journalled = [
        (topic, offset)
        for entry in house.broker.journal()
        for topic, _, first, last in entry.runs
        for offset in range(first, last + 1)
    ]
    assert journalled == [(record.topic.name, record.offset) for record in merged(house.logs)]
    assert [entry.sequence for entry in house.broker.journal()] == list(range(1, len(house.broker.journal()) + 1))


@pytest.mark.parametrize("point", POINTS)
def test_a_lane_that_dies_anywhere_goes_on_where_its_checkpoint_is(point: str) -> None:
    house = House(logs([("ann", 1), ("bob", 2), ("ann", 30), ("cid", 31)]), batch=2, crashes=[point, point])
    asyncio.run(house.live())
    assert house.broker.counts() == oracle(house.logs)[0]


def test_dues_older_than_the_records_of_a_batch_are_stepped_although_their_states_left_the_cache() -> None:
    """A visit dated before the watermark is due at once; later ones must not step past it with an empty cache."""
    house = House(logs([("bob", 100), ("ann", 5), ("cid", 7), ("cid", 8)]), batch=1, cache=0)
    asyncio.run(house.live())
    assert house.broker.counts() == oracle(house.logs)[0]


def test_a_store_that_is_away_is_asked_again() -> None:
    kept = MemoryStore()
    faults = [CommitFault.BUSY, CommitFault.UNKNOWN, CommitFault.NONE]
    house = House(logs([("ann", n) for n in range(9)]), FaultyStore(kept, faults, 0.0))
    lane = asyncio.run(house.live())
    assert lane.counts["busy"] == 2
    assert house.broker.counts() == oracle(house.logs)[0]


def test_a_zombie_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FENCED_SECONDS", 0.0)
    house = House(logs([("ann", 1), ("bob", 2)]), batch=2)

    async def scene() -> None:
        zombie = house.lane()
        await zombie.claim()
        await house.live()
        before = list(house.broker.log), await states(house.store)
        zombie.put("visits", house.logs["visits"])
        await until(zombie, lambda: zombie.counts["fenced"] > 0)
        assert zombie.counts["fenced"] == 1
        assert (house.broker.said(), await states(house.store)) == ([each for *_, each in before[0]], before[1])

    asyncio.run(scene())


def test_a_lane_that_was_fenced_claims_again_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FENCED_SECONDS", 0.0)
    house = House(logs([("ann", 1), ("bob", 2)]))

    async def scene() -> None:
        lane = house.lane()
        await lane.claim()
        await house.store.claim(TASK)
        lane.put("visits", house.logs["visits"])
        await finished(lane, {Position("visits", 0): 1})
        assert lane.counts["fenced"] == 1

    asyncio.run(scene())
    assert house.broker.counts() == oracle(house.logs)[0]


class Forgetful(MemoryStore):
    """A store that can be emptied."""

    def forget(self) -> None:
        self._tasks.clear()


def test_a_lane_does_not_go_on_where_its_store_has_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FENCED_SECONDS", 0.0)
    store = Forgetful()
    house = House(logs([("ann", 1), ("bob", 2), ("ann", 3)]), store, batch=2)

    async def scene() -> None:
        lane = house.lane()
        await lane.claim()
        lane.put("visits", house.logs["visits"][:2])
        await finished(lane, {Position("visits", 0): 1})
        store.forget()
        before = list(house.broker.log)
        heir = Lane(Porter(), 0, house.surroundings(), sequence=lane.sequence)
        with pytest.raises(Forgotten, match="has 0 commits of porter/0, and had 1"):
            await heir.claim()
        heir.put("visits", house.logs["visits"][2:])
        with pytest.raises(Forgotten):
            await until(heir, lambda: False)
        assert house.broker.log == before

    asyncio.run(scene())


def test_a_lane_that_never_claimed_commits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FENCED_SECONDS", 0.0)
    house = House(logs([("ann", 1)]))

    async def scene() -> None:
        lane = house.lane()
        lane.put("visits", house.logs["visits"])
        await until(lane, lambda: lane.counts["fenced"] > 0)

    asyncio.run(scene())
    assert house.broker.counts() in ([], oracle(house.logs)[0])


def said_twice(places: Sequence[tuple[int, int]]) -> dict[str, list[Inbound]]:
    """Return visits that another task said at these places (sequence, n), repeats included."""
    return {
        "visits": [
            arrived(
                VISITS, offset, Visit("ann", 10 * sequence + n), Origin("door/1", sequence, n, 0, f"{sequence}.{n}")
            )
            for offset, (sequence, n) in enumerate(places)
        ]
    }


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data(), st.integers(1, 6), crashes)
def test_what_a_source_says_again_after_its_own_crash_is_taken_once(
    sizes: list[int], data: st.DataObject, batch: int, crashes: list[str | None]
) -> None:
    places = [(sequence + 1, n) for sequence, size in enumerate(sizes) for n in range(size)]
    heard: list[tuple[int, int]] = []
    for sequence, size in enumerate(sizes):
        batch_places = [(sequence + 1, n) for n in range(size)]
        for _ in range(data.draw(st.integers(0, 2))):
            heard += batch_places[: data.draw(st.integers(0, size))]
        heard += batch_places
    house = House(said_twice(heard), batch=batch, crashes=crashes)
    asyncio.run(house.live())
    counted = [COUNTS.decode(value) for _, value in house.broker.counts()]
    assert [each for each in counted if not each.gone] == [
        Counted("ann", 10 * sequence + n, visits + 1)
        for (sequence, n), visits in zip(places, _visits(places), strict=True)
    ]


def _visits(places: list[tuple[int, int]]) -> list[int]:
    """Return how often ann had come before each visit; none are so far apart that she was forgotten."""
    return list(range(len(places)))


def test_repeats_are_counted() -> None:
    lane = asyncio.run(House(said_twice([(1, 0), (1, 1), (1, 0), (1, 1), (2, 0)])).live())
    assert (lane.counts["repeats"], lane.counts["records"]) == (2, 3)


def test_two_sources_do_not_pass_for_each_others_repeats() -> None:
    both = [
        arrived(VISITS, n, Visit("ann", n), Origin(task, 1, 0, 0, task)) for n, task in enumerate(["door/0", "door/1"])
    ]
    lane = asyncio.run(House({"visits": both}).live())
    assert lane.counts["repeats"] == 0


def with_a_bad_visit(reason: str = "empty") -> House:
    house = House(logs([("ann", 1), ("bob", 2)]))
    place: dict[str, Any] = {"topic": "visits", "partition": 0, "offset": 2}
    letter = DeadLetter(event_id="visits/0/2", event_time=3, reason=reason, detail="", value="", **place)
    bad = record(letter, DEAD_LETTERS, id="visits/0/2>edge.0")
    house.logs["visits"].append(Inbound(VISITS, 2, -1, bad, None, letter.event_id))
    return house


def test_a_dead_letter_goes_out_in_its_turn_and_costs_only_itself() -> None:
    house = with_a_bad_visit()
    lane = asyncio.run(house.live())
    assert [each.id for each in house.broker.said() if each.topic == DEAD_LETTERS.name] == ["visits/0/2>edge.0"]
    assert lane.counts["dead_letters"] == 1
    assert house.broker.counts() == oracle(logs([("ann", 1), ("bob", 2)]))[0]


def other(name: str, tables: tuple[AnyTopic, ...] = ()) -> Porter:
    porter = Porter()
    porter.name, porter.tables = name, tables
    return porter


@pytest.mark.parametrize(
    ("reason", "others"),
    [
        ("empty", (other("greeter"), Porter())),
        ("tombstone", (Porter(), other("clerk", tables=(VISITS,)))),
    ],
    ids=["its first reader told of it", "it removes an entry of a table"],
)
def test_what_is_no_message_is_passed_over_where(reason: str, others: tuple[Porter, ...]) -> None:
    house = with_a_bad_visit(reason)
    house.others = others
    lane = asyncio.run(house.live())
    assert [each for each in house.broker.said() if each.topic == DEAD_LETTERS.name] == []
    assert (lane.counts["dead_letters"], lane.offsets[Position("visits", 0)]) == (0, 2)


def set_up(as_what: str) -> Porter:
    porter = Porter()
    porter.setup = as_what  # type: ignore[attr-defined]
    return porter


def test_the_states_of_another_setup_are_refused_before_anything_is_stepped() -> None:
    house = House(logs([("ann", 1)]))

    async def owned(porter: Porter) -> None:
        lane = house.lane(porter)
        taken = await lane.claim()
        for topic, log in house.logs.items():
            lane.put(topic, log[taken.get(Position(topic, 0), -1) + 1 :])
        await finished(lane, {Position(topic, 0): len(log) - 1 for topic, log in house.logs.items() if log})

    asyncio.run(owned(Porter()))
    house.logs = logs([("ann", 1), ("bob", 2)])
    asyncio.run(owned(set_up("one window")))  # what was kept before setups were told of is taken
    house.logs = logs([("ann", 1), ("bob", 2), ("cy", 3)])
    with pytest.raises(OtherSetup, match="set HEADRACE_FEATURES to what it was"):
        asyncio.run(owned(set_up("two windows")))
    asyncio.run(owned(set_up("one window")))
    assert house.broker.counts() == oracle(house.logs)[0]


class Watched(MemoryStore):
    """A store that remembers which states were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    async def load(self, task: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the states, and remember their keys."""
        self.loaded += keys
        return await super().load(task, keys)


@pytest.mark.parametrize(("cache", "loads"), [(1_000, 4), (2, 8), (0, 12)])
def test_a_state_that_left_the_cache_is_read_again(cache: int, loads: int) -> None:
    visits = [(guest, n) for n, guest in enumerate(["ann", "bob", "cid", "dan"] * 3)]
    store = Watched()
    house = House(logs(visits), store, batch=4, cache=cache)
    asyncio.run(house.live())
    assert len(store.loaded) == loads
    assert house.broker.counts() == oracle(house.logs)[0]


def test_results_for_readers_and_progress_are_written_with_the_states() -> None:
    store = MemoryStore()
    house = House({}, store)

    async def scene() -> None:
        lane = house.lane(CustomerFeatures())
        await lane.claim()
        message = transaction("a", user="ann")
        lane.put("transactions", [Inbound(TRANSACTIONS, 0, message.time_ms(), record(message), None, message.user)])
        await finished(lane, {Position("transactions", 0): 0})
        reader = Reader(store.values)
        assert b'"event_id":"a"' in (await reader.user_features("ann") or b"")
        assert (await reader.progress())["features"].event_time == message.time_ms()
        assert lane.reads("transactions")
        assert lane.reads(CUSTOMER_LABELS.name)
        assert not lane.reads("clicks")

    asyncio.run(scene())


def test_what_is_put_while_it_waits_is_taken() -> None:
    house = House(logs([]))

    async def scene() -> None:
        lane = house.lane()
        await lane.claim()
        running = asyncio.create_task(lane.run())
        await asyncio.sleep(0)
        lane.put("visits", logs([("ann", 1)])["visits"])
        async with asyncio.timeout(DEADLINE):
            while not lane.offsets:
                await asyncio.sleep(0)
        lane.stop()
        await running

    asyncio.run(scene())
    assert len(house.broker.counts()) == 1


def test_a_lane_that_lingers_takes_what_comes_meanwhile_in_one_batch() -> None:
    async def scene() -> list[JournalEntry]:
        house = House({}, batch=100, linger=0.05)
        lane = house.lane()
        await lane.claim()
        running = asyncio.create_task(lane.run())
        for visit in logs([(name, 1) for name in ("ann", "bob", "cid")])["visits"]:
            lane.put("visits", [visit])
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            while not house.broker.journal():
                await asyncio.sleep(0)
        lane.stop()
        await running
        return house.broker.journal()

    (entry,) = asyncio.run(scene())
    assert [(first, last) for _, _, first, last in entry.runs] == [(0, 2)]


def test_a_lane_that_lingers_still_stops_at_once() -> None:
    async def scene() -> None:
        lane = House({}, linger=DEADLINE * 2).lane()
        await lane.claim()
        running = asyncio.create_task(lane.run())
        await asyncio.sleep(0)
        lane.stop()
        await asyncio.wait_for(running, DEADLINE)

    asyncio.run(scene())


def test_the_outbox_of_the_last_commit_is_said_again_by_the_next_owner() -> None:
    house = House(logs([("ann", 1)]))

    async def scene() -> None:
        await house.live()
        said = len(house.broker.log)
        await house.lane().claim()
        assert house.broker.log[said:] == house.broker.log[:said]

    asyncio.run(scene())


def test_a_claim_in_the_store_holds_only_encoded_states() -> None:
    house = House(logs([("ann", 1)]))
    asyncio.run(house.live())
    (blob,) = asyncio.run(house.store.load(TASK, ["ann"]))
    assert blob is not None
    assert msgspec.msgpack.decode(blob) == {"visits": 1, "due": 21}
