"""What is served about recommendations: a customer's newest, and the demand for items."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from schemas.recommendation_topics import ITEM_DEMANDS, RECOMMENDATIONS
from schemas.records import DAY
from sinks.base import ResultReader, SinkBusy
from sinks.connection import connect
from sinks.serving import Keep, Reader, apply, serve
from tests.contracts.results import NOON, item_demand, recommendations, record, shuffled

pytestmark = pytest.mark.anyio


async def said(values: Any, *messages: object) -> None:
    await apply(values, [served for message in messages for served in serve(*record(message))])


async def test_a_customer_has_their_newest_recommendations(values: Any) -> None:
    newer, older = recommendations("new", event_time=NOON + 1, user="Зоя"), recommendations("old", user="Зоя")
    await said(values, newer)
    await said(values, older)
    assert await Reader(values).recommendations("Зоя") == RECOMMENDATIONS.encode(newer)


@pytest.mark.parametrize("seed", range(5))
async def test_the_demand_that_counted_most_is_served_whatever_order_it_comes_in(values: Any, seed: int) -> None:
    for demand in shuffled([item_demand(n, event_time=NOON) for n in range(1, 12)], seed):
        await said(values, demand)
    assert await Reader(values).item_demand("alien") == ITEM_DEMANDS.encode(item_demand(11, event_time=NOON))


async def test_first_recommendations_may_be_waited_for(values: Any) -> None:
    waiting = asyncio.create_task(Reader(values).wait_for_recommendations("ann", 10_000))
    await asyncio.sleep(0)
    await said(values, recommendations())
    assert await waiting == RECOMMENDATIONS.encode(recommendations())
    assert await Reader(values).wait_for_recommendations("bob", 5) is None


async def test_tenants_never_share_recommendations(values: Any) -> None:
    await said(values, recommendations(tenant="acme"), item_demand(tenant="acme"))
    reader = Reader(values)
    assert [await reader.recommendations("ann"), await reader.item_demand("alien")] == [None, None]
    assert await reader.recommendations("ann", "acme") is not None
    assert await reader.item_demand("alien", "acme") is not None


async def test_what_has_expired_stays_until_something_newer_is_told(redis: Redis) -> None:
    keep = Keep(newest_ms=2 * DAY)
    for message in (recommendations(expires_at=NOON + 1), item_demand()):
        await apply(redis, serve(*record(message), keep))
    spans = {str(key, "utf-8"): -(-await redis.pttl(key) // DAY) for key in await redis.keys()}  # type: ignore[arg-type]
    assert spans == {"hr:default:user:ann:items": 2, "hr:default:item:alien:demand": 2}


async def test_a_redis_that_is_away_says_when_to_come_back() -> None:
    reader: ResultReader = Reader(connect("redis://127.0.0.1:1/0"))
    questions = (reader.recommendations("ann"), reader.item_demand("alien"))
    for question in (*questions, reader.wait_for_recommendations("ann", 10_000)):
        with pytest.raises(SinkBusy, match="try again in 1 s"):
            await question
    await reader.aclose()
