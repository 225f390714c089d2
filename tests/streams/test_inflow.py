"""A lane is given every record once and in order, whatever is lost between the broker and it."""

from collections.abc import Mapping

import pytest
from faust.types import TP

from streams.fetching import CHUNK, Place, RecordBatch, batches
from streams.inflow import Inflow
from streams.kafka_log import Stored

pytestmark = pytest.mark.anyio

HERE = TP("visits", 0)
THERE = TP("visits", 1)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Broker:
    """What an inflow asks of its consumer: it remembers what was sought and held."""

    def __init__(self, start: int = 0, end: int | None = None) -> None:
        self.sought: list[tuple[TP, int, int]] = []
        self.held: set[TP] = set()
        self.start = start
        self.end = end
        self.gone: set[TP] = set()

    async def begin(self, offsets: Mapping[TP, int | None], seek: int) -> dict[TP, int]:
        begun = {tp: self.start if at is None else at for tp, at in offsets.items() if tp not in self.gone}
        self.sought += [(tp, at, seek) for tp, at in begun.items()]
        return begun

    def highwater(self, tp: TP) -> int | None:
        return self.end

    def hold(self, tp: TP) -> None:
        self.held.add(tp)

    def release(self, tp: TP) -> None:
        self.held.discard(tp)

    def batch(self, begin: int, end: int, tp: TP = HERE) -> RecordBatch:
        """Return what is fetched after the last seek of a partition."""
        records = [Stored(offset, 0, b"", b"", ()) for offset in range(begin, end)]
        seek = max(number for sought, _, number in self.sought if sought == tp)
        return RecordBatch(tp.topic, tp.partition, records, begin, end, seek)


async def begun(broker: Broker, offset: int | None = 0, lanes: tuple[str, ...] = ("a/0",)) -> Inflow:
    inflow = Inflow(most=4, few=2)
    await inflow.begin(broker, {HERE: offset}, {HERE: lanes})
    return inflow


async def taken(inflow: Inflow, batch: RecordBatch, lane: str = "a/0") -> list[int]:
    return [raw.offset for raw in await inflow.take(lane, batch)]


async def test_what_follows_is_given() -> None:
    broker = Broker()
    inflow = await begun(broker, 5)
    assert await taken(inflow, broker.batch(5, 7)) == [5, 6]
    assert await taken(inflow, broker.batch(7, 8)) == [7]


async def test_without_a_checkpoint_it_begins_at_the_logs_start() -> None:
    broker = Broker(start=3)
    inflow = await begun(broker, None)
    assert inflow.read("a/0", HERE) == 3


async def test_what_was_lost_on_the_way_is_read_again() -> None:
    broker = Broker()
    inflow = await begun(broker)
    assert await taken(inflow, broker.batch(2, 4)) == []
    assert broker.sought[-1][:2] == (HERE, 0)
    assert await taken(inflow, broker.batch(0, 4)) == [0, 1, 2, 3]


async def test_what_was_fetched_before_the_last_seek_is_not_given() -> None:
    broker = Broker()
    inflow = await begun(broker)
    stale = broker.batch(4, 6)
    await taken(inflow, broker.batch(2, 4))
    assert await taken(inflow, stale) == []
    assert len(broker.sought) == 2


async def test_what_was_given_is_not_given_again() -> None:
    broker = Broker()
    inflow = await begun(broker)
    await taken(inflow, broker.batch(0, 4))
    assert await taken(inflow, broker.batch(2, 6)) == [4, 5]
    assert await taken(inflow, broker.batch(2, 6)) == []


async def test_offsets_without_records_are_no_loss() -> None:
    """Compaction and transactions leave them."""
    broker = Broker(end=9)
    inflow = await begun(broker)
    empty = broker.batch(0, 0)._replace(end=5)
    assert await taken(inflow, empty) == []
    assert await taken(inflow, broker.batch(5, 7)) == [5, 6]
    assert not inflow.at_end("a/0", HERE)
    await inflow.take("a/0", broker.batch(7, 7)._replace(end=9))
    assert inflow.at_end("a/0", HERE)


async def test_two_lanes_that_read_one_partition_are_each_given_all_of_it() -> None:
    broker = Broker()
    inflow = await begun(broker, lanes=("a/0", "b/0"))
    both = broker.batch(0, 2)
    assert await taken(inflow, both, "a/0") == [0, 1]
    assert await taken(inflow, both, "b/0") == [0, 1]
    await taken(inflow, broker.batch(2, 3), "a/0")
    await taken(inflow, broker.batch(3, 4), "b/0")
    assert broker.sought[-1][:2] == (HERE, 2)
    again = broker.batch(2, 4)
    assert (await taken(inflow, again, "a/0"), await taken(inflow, again, "b/0")) == ([3], [2, 3])


async def test_nothing_is_given_once_it_has_stopped() -> None:
    broker = Broker()
    inflow = await begun(broker)
    inflow.stop()
    assert await taken(inflow, broker.batch(0, 2)) == []


async def test_a_partition_that_went_elsewhere_meanwhile_is_left_alone() -> None:
    broker = Broker()
    broker.gone = {THERE}
    inflow = Inflow(4, 2)
    await inflow.begin(broker, {HERE: 0, THERE: 0}, {HERE: ["a/0"], THERE: ["a/1"]})
    broker.sought.append((THERE, 0, broker.sought[-1][2]))
    assert await taken(inflow, broker.batch(0, 2, THERE), "a/1") == []
    assert not inflow.at_end("a/1", THERE)


async def test_a_lane_is_behind_while_the_broker_has_more() -> None:
    broker = Broker(end=3)
    inflow = await begun(broker)
    assert inflow.behind("a/0", HERE)
    await taken(inflow, broker.batch(0, 3))
    assert not inflow.behind("a/0", HERE)
    broker.end = None
    assert not inflow.at_end("a/0", HERE)


def test_before_the_first_assignment_nothing_is_known() -> None:
    inflow = Inflow(4, 2)
    inflow.press(HERE, 100)
    assert (inflow.end(HERE), inflow.at_end("a/0", HERE), inflow.held()) == (None, False, frozenset())


async def test_a_partition_of_which_too_much_waits_is_fetched_again_later() -> None:
    broker = Broker()
    inflow = await begun(broker)
    inflow.press(HERE, 4)
    assert not broker.held
    inflow.press(HERE, 5)
    assert broker.held == {HERE}
    inflow.ease(lambda _: 2)
    assert inflow.held() == {HERE}
    inflow.ease(lambda _: 1)
    assert (inflow.held(), broker.held) == (frozenset(), set())


@pytest.mark.parametrize("number", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_batches_cover_what_was_fetched_without_a_gap(number: int) -> None:
    """Every third offset holds nothing, and neither do the last two."""
    records = [Stored(10 + 3 * n, 0, b"", b"", ()) for n in range(number)]
    end = 10 + 3 * number + 2
    found = list(batches(HERE, records, Place(7, 10), end))
    assert [raw for batch in found for raw in batch.records] == records
    assert [batch.begin for batch in found] == [10, *(batch.end for batch in found[:-1])]
    assert found[-1].end == end
    assert {batch.seek for batch in found} == {7}
    assert all(len(batch.records) <= CHUNK for batch in found)
