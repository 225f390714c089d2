"""An in-process run leaves everything it said in both stores, also when one of them is away for a while."""

import asyncio
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from schemas.records import AnyRecord
from schemas.topics import SCORES
from sinks.base import SinkBusy
from sinks.faulty import Fault, FaultySink
from sinks.memory import MemorySink
from sinks.serving import Reader
from streams.result_stores import ANALYTICS_BATCH, ResultStores, patiently
from tests.contracts import results


def scores(count: int, first: int = 0) -> list[AnyRecord]:
    return [results.record(results.score(f"kept-{n}"))[0] for n in range(first, first + count)]


def test_a_batch_comes_back_until_the_store_takes_it() -> None:
    kept = MemorySink()
    asyncio.run(patiently(FaultySink(kept, [Fault.BUSY, Fault.BUSY]), [results.encoded(results.score())], attempts=3))
    assert len(kept.rows(SCORES)) == 1


def test_a_store_that_stays_away_ends_the_run() -> None:
    away = FaultySink(MemorySink(), [Fault.BUSY] * 3)
    with pytest.raises(SinkBusy):
        asyncio.run(patiently(away, [results.encoded(results.score())], attempts=3))


@pytest.fixture
def url(redis_url: str) -> Iterator[str]:
    own = redis_url.removesuffix("/0") + "/8"
    with Redis.from_url(own) as client:
        client.flushdb()
        yield own
        client.flushdb()


@pytest.mark.live
def test_readers_see_a_result_at_once_and_analysts_all_of_them_in_the_end(url: str) -> None:
    kept = MemorySink()

    async def run() -> tuple[bytes | None, int]:
        client = AsyncRedis.from_url(url)
        stores = ResultStores(client, FaultySink(kept, [Fault.BUSY]))
        for first in range(0, 2 * ANALYTICS_BATCH, ANALYTICS_BATCH // 2):
            await stores.keep(scores(ANALYTICS_BATCH // 2, first), {"fraud": results.NOON})
        read, progress = await Reader(client).score("kept-7"), await Reader(client).progress()
        await stores.settle()
        await client.aclose()
        return read, progress["fraud"].event_time

    read, reached = asyncio.run(run())
    assert (read, reached) == (results.record(results.score("kept-7"))[1], results.NOON)
    assert len(kept.rows(SCORES)) == 2 * ANALYTICS_BATCH
