"""A lane that is stopped tells its store that all was delivered, where it was: nothing is said again, or left out."""

import asyncio
from collections.abc import Sequence

from sinks.base import SinkBusy
from sinks.memory_store import MemoryStore
from streams.lane import Lane
from tests.streams.test_lane import TASK, Died, House, logs, oracle, said_twice, until

VISITS = logs([("ann", 1), ("bob", 2), ("ann", 30), ("cid", 31)])


class Forgetful(MemoryStore):
    """A store that is away for as many loads as it is told."""

    away = 0

    async def load(self, task: str, keys: Sequence[str]) -> list[bytes | None]:
        """Return the state of each key."""
        if self.away:
            self.away -= 1
            raise SinkBusy(10.0)
        return await super().load(task, keys)


async def stopped(house: House) -> Lane:
    """Return a lane that took everything and was stopped and settled."""
    lane = await house.live()
    await lane.settle()
    return lane


def test_what_was_delivered_is_not_said_again_by_the_next_owner() -> None:
    house = House(VISITS)
    asyncio.run(stopped(house))
    said = len(house.broker.log)
    asyncio.run(house.lane().claim())
    assert len(house.broker.log) == said


def test_the_next_owner_goes_on_where_the_settled_one_was() -> None:
    house = House({"visits": VISITS["visits"][:2]}, batch=1)
    asyncio.run(stopped(house))
    house.logs["visits"] = VISITS["visits"]
    asyncio.run(stopped(house))
    assert house.broker.counts() == oracle(VISITS)[0]
    assert len(house.broker.said()) == len(house.broker.log)


def test_what_was_not_delivered_is_said_again_though_settled() -> None:
    house = House(VISITS, batch=4, crashes=["committed"])

    async def scene() -> None:
        lane = house.lane()
        await lane.claim()
        lane.put("visits", VISITS["visits"])
        try:
            await until(lane, lambda: False)
        except Died:
            await lane.settle()
        assert not house.broker.log
        await house.lane().claim()

    asyncio.run(scene())
    assert house.broker.counts() == oracle(VISITS)[0]


def test_a_lane_stopped_while_its_store_is_away_settles_nothing_it_has_not_stepped() -> None:
    """Records that were heard, but not stepped, must not pass for repeats later on."""
    store = Forgetful()
    house = House(said_twice([(1, 0), (1, 1), (2, 0), (2, 1)]), store, batch=2)

    async def scene() -> None:
        lane = house.lane()
        await lane.claim()
        lane.put("visits", house.logs["visits"][:2])
        await until(lane, lambda: lane.counts["records"] == 2 and bool(lane.offsets))
        other = house.lane()
        await other.claim()
        store.away = 1
        other.put("visits", house.logs["visits"][2:])
        await until(other, lambda: other.counts["busy"] > 0)
        await other.settle()
        await house.live()

    asyncio.run(scene())
    assert len(house.broker.counts()) == 4


def test_a_lane_that_lost_its_task_settles_nothing() -> None:
    house = House(VISITS)

    async def scene() -> None:
        lane = await house.live()
        owner = house.lane()
        await owner.claim()
        before = await house.store.claim(TASK)
        await lane.settle()
        assert (await house.store.claim(TASK)).sequence == before.sequence

    asyncio.run(scene())
