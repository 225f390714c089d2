"""What is served about offers: rankings, rankers and usage, read by the reader's key."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from schemas.offer_topics import OFFER_USAGE, RANKERS, RANKINGS
from schemas.records import DAY
from sinks.base import ResultReader, SinkBusy
from sinks.connection import connect
from sinks.serving import Keep, Reader, apply, serve
from tests.contracts.results import (
    NOON,
    offer_example,
    offer_usage,
    ranker_version,
    ranking,
    record,
    shuffled,
    slot,
)

pytestmark = pytest.mark.anyio


async def said(values: Any, *messages: object) -> None:
    await apply(values, [served for message in messages for served in serve(*record(message))])


async def test_a_ranking_is_read_by_decision_and_by_customer(values: Any) -> None:
    await said(values, ranking(user="Зоя"))
    reader, json = Reader(values), RANKINGS.encode(ranking(user="Зоя"))
    assert await reader.ranking("d1") == json
    assert await reader.offers("Зоя") == json


async def test_a_customer_has_their_newest_ranking(values: Any) -> None:
    newer, older = ranking("new", event_time=NOON + 1), ranking("old", event_time=NOON)
    await said(values, newer)
    await said(values, older)
    assert await Reader(values).offers("ann") == RANKINGS.encode(newer)
    assert await Reader(values).ranking("old") == RANKINGS.encode(older)


async def test_what_somebody_else_showed_is_read_by_decision_only(values: Any) -> None:
    ours, theirs = ranking("ours"), ranking("theirs", event_time=NOON + 1, policy="logged", shown=True, slots=(slot(),))
    await said(values, ours, theirs)
    assert await Reader(values).offers("ann") == RANKINGS.encode(ours)
    assert await Reader(values).ranking("theirs") == RANKINGS.encode(theirs)


@pytest.mark.parametrize("seed", range(5))
async def test_usage_is_the_one_that_counted_most_whatever_order_it_comes_in(values: Any, seed: int) -> None:
    for usage in shuffled([offer_usage(n, event_time=NOON) for n in range(12)], seed):
        await said(values, usage)
    assert await Reader(values).offer_usage("coffee") == OFFER_USAGE.encode(offer_usage(11, event_time=NOON))


async def test_rankers_are_listed_without_blob_and_fetched_with_it(values: Any) -> None:
    await said(values, ranker_version(10), ranker_version(9), ranker_version(1, model="goods"))
    reader = Reader(values)
    listed = {name: RANKERS.decode(json) for name, json in (await reader.rankers()).items()}
    assert {name: (ranker.version, ranker.blob) for name, ranker in listed.items()} == {
        "goods": (1, ""),
        "offers": (10, ""),
    }
    assert await reader.ranker_version("offers", 9) == RANKERS.encode(ranker_version(9))
    assert await reader.models() == {}


async def test_who_is_unknown_has_nothing(values: Any) -> None:
    reader = Reader(values)
    assert await reader.ranking("none") is None
    assert await reader.offers("none") is None
    assert await reader.offer_usage("none") is None
    assert await reader.rankers() == {}


async def test_tenants_never_share_an_offer(values: Any) -> None:
    await said(values, ranking(tenant="a", user="b"), offer_usage(tenant="a"), ranker_version(tenant="a"))
    reader = Reader(values)
    assert [await reader.offers("b"), await reader.ranking("d1"), await reader.offer_usage("coffee")] == [None] * 3
    assert await reader.rankers() == {}
    assert await reader.offers("b", "a") is not None


async def test_a_decision_and_a_first_ranking_may_be_waited_for(values: Any) -> None:
    reader = Reader(values)
    waiting = [
        asyncio.create_task(reader.wait_for_ranking("d1", 10_000)),
        asyncio.create_task(reader.wait_for_offers("ann", 10_000)),
    ]
    await asyncio.sleep(0)
    await said(values, ranking())
    assert await asyncio.gather(*waiting) == [RANKINGS.encode(ranking())] * 2


async def test_what_does_not_come_is_none(values: Any) -> None:
    assert await Reader(values).wait_for_ranking("d1", 5) is None
    assert await Reader(values).wait_for_offers("ann", 5) is None


async def test_what_became_of_an_offer_is_not_served(values: Any) -> None:
    assert serve(*record(offer_example())) == ()


async def test_rankings_expire_and_the_list_of_rankers_does_not(redis: Redis) -> None:
    keep = Keep(rankings_ms=DAY, newest_ms=2 * DAY, models_ms=3 * DAY)
    for message in (ranking(), offer_usage(), ranker_version()):
        await apply(redis, serve(*record(message), keep))
    spans = {str(key, "utf-8"): -(-await redis.pttl(key) // DAY) for key in await redis.keys()}  # type: ignore[arg-type]
    assert spans == {
        "hr:default:ranking:d1": 1,
        "hr:default:user:ann:offers": 2,
        "hr:default:offer:coffee:usage": 2,
        "hr:default:rankers": 0,
        "hr:default:rankers:offers:4": 3,
    }


async def test_a_redis_that_is_away_says_when_to_come_back() -> None:
    reader: ResultReader = Reader(connect("redis://127.0.0.1:1/0"))
    questions = (reader.offers("ann"), reader.ranking("d1"), reader.offer_usage("coffee"), reader.rankers())
    for question in (*questions, reader.wait_for_ranking("d1", 10_000), reader.wait_for_offers("ann", 10_000)):
        with pytest.raises(SinkBusy, match="try again in 1 s"):
            await question
    await reader.aclose()
