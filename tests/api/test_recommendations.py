"""The API answers what is recommended to a customer, whether it still holds, and the demand for items."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from api.answers import DemandAnswer, RecommendationsAnswer
from sinks.base import Progress
from sinks.connection import connect
from sinks.memory import MemoryValues
from sinks.progress import PROGRESS, progress_field
from sinks.serving import apply, serve
from tests.api.calls import NOW, calling, problem
from tests.contracts.results import NOON, item_demand, recommendations, record

pytestmark = pytest.mark.anyio
PATHS = ("/users/ann/recommendations", "/items/alien/demand")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def values() -> MemoryValues:
    values = MemoryValues()
    for message in (recommendations(expires_at=NOW + 10), item_demand(event_time=NOON)):
        await apply(values, serve(*record(message)))
    for name in ("recommendations", "demand"):
        await values.hset(PROGRESS, *progress_field(name, 0, Progress(NOON, NOW - 40)))
    return values


@pytest.fixture
async def client(values: MemoryValues) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(values) as client:
        yield client


async def test_recommendations_are_answered_as_they_were_stored(client: httpx.AsyncClient) -> None:
    answer = await client.get("/users/ann/recommendations")
    assert record(recommendations(expires_at=NOW + 10))[1] in answer.content
    said = msgspec.json.decode(answer.content, type=RecommendationsAnswer)
    assert (said.expired, said.stale, said.source, said.ages.event_ms) == (False, False, "recommender", 5_000)


async def test_demand_is_answered_as_it_was_stored(client: httpx.AsyncClient) -> None:
    said = msgspec.json.decode((await client.get("/items/alien/demand")).content, type=DemandAnswer)
    assert (said.demand, said.source) == (item_demand(event_time=NOON), "demand")


async def test_what_holds_no_more_says_so_and_is_no_longer_the_same_answer(values: MemoryValues) -> None:
    async with calling(values, now=NOW + 9) as client:
        fresh = await client.get("/users/ann/recommendations")
    async with calling(values, now=NOW + 10) as client:
        expired = await client.get("/users/ann/recommendations", headers={"If-None-Match": fresh.headers["ETag"]})
    assert (fresh.json()["expired"], expired.status_code, expired.json()["expired"]) == (False, 200, True)


async def test_what_the_next_event_brings_holds_again(values: MemoryValues) -> None:
    await apply(values, serve(*record(recommendations("next", event_time=NOW + 20, expires_at=NOW + 60))))
    async with calling(values, now=NOW + 30) as client:
        said = (await client.get("/users/ann/recommendations")).json()
    assert (said["recommendations"]["event_id"], said["expired"]) == ("next", False)


async def test_first_recommendations_may_be_waited_for(values: MemoryValues, client: httpx.AsyncClient) -> None:
    asked = asyncio.create_task(client.get("/users/a%2Fb/recommendations?wait=5s"))
    await asyncio.sleep(0)
    await apply(values, serve(*record(recommendations("late", user="a/b"))))
    assert (await asked).json()["recommendations"]["event_id"] == "late"


@pytest.mark.parametrize(
    ("path", "advice"), [("/users/none/recommendations", "?wait=2s"), ("/items/none/demand", "X-Tenant")]
)
async def test_what_is_unknown_is_a_problem_that_says_what_to_do(
    client: httpx.AsyncClient, path: str, advice: str
) -> None:
    assert advice in problem(await client.get(path), 404)


@pytest.mark.parametrize("path", PATHS)
async def test_the_same_results_are_not_sent_twice(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", PATHS)
async def test_a_tenant_reads_its_own(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path, headers={"X-Tenant": "acme"}), 404)


async def test_with_redis_away_every_read_says_when_to_come_back() -> None:
    redis = connect("redis://127.0.0.1:1/0")
    async with calling(redis) as client:
        for path in (*PATHS, "/users/ann/recommendations?wait=2s"):
            assert "Nothing is lost" in problem(await client.get(path), 503)
    await redis.aclose()
