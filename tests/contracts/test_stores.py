"""What every store of the engine promises."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from sinks.base import Progress, SinkBusy
from sinks.checkpoint import RedisStore
from sinks.connection import connect
from sinks.faulty import Broken
from sinks.faulty_store import CommitFault, FaultyStore
from sinks.memory_store import MemoryStore
from sinks.progress import progress_field
from sinks.serving import Reader, Served
from sinks.store import Attempt, Claim, Fenced, Position, Store
from tests.contracts.commits import INPUT, TASK, commit

pytestmark = pytest.mark.anyio

EMPTY = {"sequence": 0, "offsets": {}, "meta": b"", "outbox": b"", "dues": {}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "redis"])
async def kept(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[tuple[Store, Reader]]:
    if request.param == "memory":
        memory = MemoryStore()
        yield memory, Reader(memory.values)
        return
    client = connect(redis_url.removesuffix("/0") + "/8", timeout_s=10)
    await client.flushdb()
    yield RedisStore(client), Reader(client)
    await client.aclose()


@pytest.fixture
def store(kept: tuple[Store, Reader]) -> Store:
    return kept[0]


@pytest.fixture
def reader(kept: tuple[Store, Reader]) -> Reader:
    return kept[1]


def found(claim: Claim) -> dict[str, object]:
    return {name: getattr(claim, name) for name in EMPTY}


async def test_the_first_owner_finds_nothing(store: Store) -> None:
    assert found(await store.claim(TASK)) == EMPTY
    assert await store.load(TASK, ["a", "b"]) == [None, None]
    assert await store.load(TASK, []) == []


async def test_what_is_committed_is_loaded_in_the_order_asked_for(store: Store) -> None:
    owner = await store.claim(TASK)
    await store.commit(TASK, owner.epoch, commit(states={"a": b"1", "b": b"2"}))
    assert await store.load(TASK, ["b", "none", "a", "b"]) == [b"2", None, b"1", b"2"]


async def test_a_state_is_replaced_and_forgotten(store: Store) -> None:
    owner = await store.claim(TASK)
    await store.commit(TASK, owner.epoch, commit(1, states={"a": b"1", "b": b"1", "never": None}, dues={"a": 5}))
    await store.commit(TASK, owner.epoch, commit(2, states={"a": None, "b": b"2"}))
    assert await store.load(TASK, ["a", "b"]) == [None, b"2"]
    assert (await store.claim(TASK)).dues == {}


async def test_a_new_owner_finds_the_place_the_outbox_and_the_dues(store: Store) -> None:
    owner = await store.claim(TASK)
    offsets = {INPUT: 17, Position("labels", 0): 3}
    said = commit(
        states={"a": b"1", "b": b""}, dues={"a": 1_530_446_400_000}, offsets=offsets, meta=b"\0m", outbox=b"o"
    )
    await store.commit(TASK, owner.epoch, said)
    after = await store.claim(TASK)
    assert after == Claim(after.epoch, 1, offsets, b"\0m", b"o", {"a": 1_530_446_400_000})
    assert after.epoch > owner.epoch


async def test_a_due_lives_on_until_its_key_is_stepped_again(store: Store) -> None:
    owner = await store.claim(TASK)
    await store.commit(TASK, owner.epoch, commit(1, states={"a": b"1", "b": b"1"}, dues={"a": 5, "b": -7}))
    await store.commit(TASK, owner.epoch, commit(2, states={"a": b"2"}))
    assert (await store.claim(TASK)).dues == {"b": -7}


async def test_only_the_last_outbox_is_kept(store: Store) -> None:
    owner = await store.claim(TASK)
    for sequence, outbox in enumerate([b"first", b"second", b""], 1):
        await store.commit(TASK, owner.epoch, commit(sequence, outbox=outbox))
        assert (await store.claim(TASK)).outbox == outbox
        owner = await store.claim(TASK)


async def test_an_empty_batch_moves_the_place_alone(store: Store) -> None:
    owner = await store.claim(TASK)
    await store.commit(TASK, owner.epoch, commit(offsets={INPUT: 9}))
    assert found(await store.claim(TASK)) == EMPTY | {"sequence": 1, "offsets": {INPUT: 9}}


async def test_a_zombie_changes_nothing(store: Store, reader: Reader) -> None:
    zombie = await store.claim(TASK)
    await store.commit(TASK, zombie.epoch, commit(1, states={"a": b"1"}, dues={"a": 5}, outbox=b"kept"))
    owner = await store.claim(TASK)
    served = Served("hr:default:score:e1", b"{}", 0)
    late = commit(2, states={"a": b"2", "b": b"2"}, outbox=b"lost", served=(served,), progress=b"{}")
    with pytest.raises(Fenced, match=f"belongs to epoch {owner.epoch} now, not to {zombie.epoch}"):
        await store.commit(TASK, zombie.epoch, late)
    assert await store.load(TASK, ["a", "b"]) == [b"1", None]
    assert await reader.score("e1") is None
    assert await reader.progress() == {}
    await store.commit(TASK, owner.epoch, commit(2, states={"a": b"3"}))
    assert await store.load(TASK, ["a"]) == [b"3"]


async def test_nobody_commits_without_a_claim(store: Store) -> None:
    with pytest.raises(Fenced):
        await store.commit(TASK, 1, commit())
    assert found(await store.claim(TASK)) == EMPTY


async def test_an_epoch_that_the_store_never_gave_is_fenced(store: Store) -> None:
    owner = await store.claim(TASK)
    with pytest.raises(Fenced):
        await store.commit(TASK, owner.epoch + 1, commit())


@pytest.mark.parametrize("sequence", [1, 2, 4, 0, -1])
async def test_a_repeated_or_skipped_sequence_is_fenced(store: Store, sequence: int) -> None:
    owner = await store.claim(TASK)
    for each in (1, 2):
        await store.commit(TASK, owner.epoch, commit(each, states={"a": b"%d" % each}))
    with pytest.raises(Fenced, match=f"stands at sequence 2: {sequence} does not follow"):
        await store.commit(TASK, owner.epoch, commit(sequence, states={"a": b"wrong"}))
    assert await store.load(TASK, ["a"]) == [b"2"]
    await store.commit(TASK, owner.epoch, commit(3))


async def test_of_commits_racing_for_one_sequence_one_wins(store: Store) -> None:
    owner = await store.claim(TASK)
    racing = [store.commit(TASK, owner.epoch, commit(states={"a": b"%d" % n, "b": b"%d" % n})) for n in range(16)]
    ends = await asyncio.gather(*racing, return_exceptions=True)
    winner = [n for n, end in enumerate(ends) if end is None]
    assert len(winner) == 1
    assert {type(end) for end in ends if end is not None} == {Fenced}
    assert await store.load(TASK, ["a", "b"]) == [b"%d" % winner[0]] * 2


async def test_tasks_commit_at_the_same_time_without_seeing_each_other(store: Store) -> None:
    async def run(task: str) -> None:
        owner = await store.claim(task)
        for sequence in range(1, 11):
            await store.commit(task, owner.epoch, commit(sequence, states={"a": f"{task}@{sequence}".encode()}))

    tasks = [f"count/{partition}" for partition in range(8)]
    await asyncio.gather(*map(run, tasks))
    assert [await store.load(task, ["a"]) for task in tasks] == [[f"{task}@10".encode()] for task in tasks]


async def test_ten_thousand_states_go_in_one_commit(store: Store) -> None:
    owner = await store.claim(TASK)
    states = {f"customer-{n}": os.urandom(100) for n in range(10_000)}
    await store.commit(TASK, owner.epoch, commit(states=states, dues=dict.fromkeys(states, 1)))
    assert await store.load(TASK, list(states)) == list(states.values())
    assert (await store.claim(TASK)).dues.keys() == states.keys()


async def test_any_text_is_a_key_and_any_bytes_a_state(store: Store) -> None:
    owner = await store.claim(TASK)
    keys = ["", " ", "a b\r\n$3", "}{", "{x}", ":state:", "Зоя", "\0", "€" * 500]
    states: dict[str, bytes | None] = {key: bytes(range(256)) + key.encode() for key in keys}
    blob = b"\r\n\0\xff*3\r\n"
    await store.commit(TASK, owner.epoch, commit(states=states, dues=dict.fromkeys(keys, 1), meta=blob, outbox=blob))
    assert await store.load(TASK, keys) == list(states.values())
    after = await store.claim(TASK)
    assert (after.meta, after.outbox, after.dues) == (blob, blob, dict.fromkeys(keys, 1))


async def test_the_next_owner_finds_the_last_attempt_until_something_is_committed(store: Store) -> None:
    owner = await store.claim(TASK)
    for attempt in (Attempt(1), Attempt(2, Position("transactions", 0), 17)):
        await store.note(TASK, owner.epoch, attempt)
        owner = await store.claim(TASK)
        assert owner.attempt == attempt
    await store.commit(TASK, owner.epoch, commit())
    assert (await store.claim(TASK)).attempt is None


async def test_a_zombie_notes_nothing(store: Store) -> None:
    zombie = await store.claim(TASK)
    owner = await store.claim(TASK)
    await store.note(TASK, owner.epoch, Attempt(1))
    with pytest.raises(Fenced, match=f"belongs to epoch {owner.epoch} now, not to {zombie.epoch}"):
        await store.note(TASK, zombie.epoch, Attempt(7))
    assert (await store.claim(TASK)).attempt == Attempt(1)


async def test_nobody_notes_without_a_claim(store: Store) -> None:
    with pytest.raises(Fenced):
        await store.note(TASK, 1, Attempt(1))
    assert (await store.claim(TASK)).attempt is None


async def test_results_and_progress_come_with_the_commit(store: Store, reader: Reader) -> None:
    owner = await store.claim(TASK)
    served = (Served("hr:default:score:e1", b"{}", 1_000), Served("hr:default:user:ann:risk", b"[]", 1_000, 7))
    _, progress = progress_field("count", 0, Progress(7, 8))
    await store.commit(TASK, owner.epoch, commit(served=served, progress=progress))
    assert (await reader.score("e1"), await reader.user_risk("ann")) == (b"{}", b"[]")
    assert await reader.progress() == {"count": Progress(7, 8)}


@pytest.mark.parametrize(
    ("fault", "error", "applied"),
    [
        (CommitFault.BUSY, SinkBusy, 0),
        (CommitFault.UNKNOWN, SinkBusy, 1),
        (CommitFault.BEFORE, Broken, 0),
        (CommitFault.AFTER, Broken, 1),
    ],
)
async def test_a_faulty_store_fails_where_it_says(
    store: Store, fault: CommitFault, error: type[Exception], applied: int
) -> None:
    faulty = FaultyStore(store, [fault])
    owner = await faulty.claim(TASK)
    with pytest.raises(error):
        await faulty.commit(TASK, owner.epoch, commit(states={"a": b"1"}))
    assert (await faulty.claim(TASK)).sequence == applied
    assert await faulty.load(TASK, ["a"]) == [b"1" if applied else None]


async def test_a_store_told_of_no_fault_has_none(store: Store) -> None:
    faulty = FaultyStore(store, [])
    owner = await faulty.claim(TASK)
    await faulty.commit(TASK, owner.epoch, commit())
    assert (await faulty.claim(TASK)).sequence == 1
