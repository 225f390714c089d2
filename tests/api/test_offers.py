"""The API answers about offers: rankings as they were stored, usage with its rates, and rankers."""

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from api.answers import OfferStatsAnswer, RankersAnswer, RankingAnswer, Rates
from api.settings import ApiSettings
from schemas.offer_results import Ranking
from sinks.base import Progress
from sinks.connection import connect
from sinks.memory import MemoryValues
from sinks.progress import PROGRESS, progress_field
from sinks.serving import apply, serve
from tests.api.calls import NOW, calling, problem
from tests.contracts.results import NOON, offer_usage, ranker_version, ranking, record, slot

pytestmark = pytest.mark.anyio
NAMES = {"offer.1": ("weekly_spend", "reward", "age")}
PATHS = ("/users/ann/offers", "/rankings/d1", "/offers/coffee/stats", "/rankers")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def values() -> MemoryValues:
    values = MemoryValues()
    for message in (ranking(), offer_usage(event_time=NOON), ranker_version()):
        await apply(values, serve(*record(message)))
    await values.hset(PROGRESS, *progress_field("offers", 0, Progress(NOON, NOW - 40)))
    return values


@pytest.fixture
async def client(values: MemoryValues) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(values, ApiSettings(feature_names=NAMES)) as client:
        yield client


@pytest.mark.parametrize("path", ["/users/ann/offers", "/rankings/d1"])
async def test_a_ranking_is_answered_as_it_was_stored(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert record(ranking())[1] in answer.content
    said = msgspec.json.decode(answer.content, type=RankingAnswer)
    assert (said.ranking, said.feature_names) == (ranking(), NAMES["offer.1"])


async def degraded(stored: Ranking, settings: ApiSettings = ApiSettings()) -> list[bool]:
    """Return whether a customer's newest ranking is degraded, and whether the ranking of its decision is."""
    values = MemoryValues()
    await apply(values, serve(*record(stored)))
    await values.hset(PROGRESS, *progress_field("offers", 0, Progress(NOON, NOW - 40)))
    async with calling(values, settings) as client:
        answers = [await client.get(path) for path in ("/users/ann/offers", "/rankings/d1")]
    return [msgspec.json.decode(answer.content, type=RankingAnswer).degraded for answer in answers]


async def test_a_ranking_made_without_the_model_is_degraded() -> None:
    assert await degraded(ranking()) == [False, False]
    assert await degraded(ranking(degraded=True, source="last_good", good_at=NOON - 1)) == [True, True]
    assert await degraded(ranking(degraded=True, source="rules", version=0)) == [True, True]


async def test_a_newest_ranking_of_long_ago_is_degraded_but_a_decision_is_what_it_was() -> None:
    age = NOW - ranking().event_time
    assert await degraded(ranking(), ApiSettings(ranking_old_after_ms=age)) == [False, False]
    assert await degraded(ranking(), ApiSettings(ranking_old_after_ms=age - 1)) == [True, False]


@pytest.mark.parametrize(
    ("path", "source", "model", "version"),
    [
        ("/users/ann/offers", "model", "offers", 4),
        ("/rankings/d1", "model", "offers", 4),
        ("/offers/coffee/stats", "usage", None, None),
        ("/rankers", "rankers", None, None),
    ],
)
async def test_every_answer_says_how_fresh_it_is_and_who_made_it(
    client: httpx.AsyncClient, path: str, source: str, model: str | None, version: int | None
) -> None:
    said = (await client.get(path)).json()
    assert (said["as_of"], said["ages"], said["stale"]) == (NOON, {"event_ms": 5_000, "commit_ms": 40}, False)
    assert (said["source"], said["model"], said["version"]) == (source, model, version)


@pytest.mark.parametrize("source", ["rules", "prior"])
async def test_a_ranking_without_a_model_says_what_made_it(source: str) -> None:
    values = MemoryValues()
    await apply(values, serve(*record(ranking(source=source, version=0, degraded=True))))
    await values.hset(PROGRESS, *progress_field("offers", 0, Progress(NOON, NOW)))
    async with calling(values) as client:
        said = (await client.get("/rankings/d1")).json()
    assert (said["source"], said["version"], said["ranking"]["degraded"]) == (source, 0, True)


async def test_where_nothing_may_be_shown_the_answer_has_the_reasons() -> None:
    values = MemoryValues()
    await apply(values, serve(*record(ranking(slots=(), candidates=(), scores=()))))
    async with calling(values) as client:
        said = (await client.get("/users/ann/offers")).json()["ranking"]
    assert (said["slots"], said["refused"]) == ([], {"wine": "paused"})


async def test_usage_comes_with_its_rates(client: httpx.AsyncClient) -> None:
    said = msgspec.json.decode((await client.get("/offers/coffee/stats")).content, type=OfferStatsAnswer)
    assert said.rates == Rates(view=0.5, redemption=0.2, cost=5.0)
    assert said.usage == offer_usage(event_time=NOON)


async def test_rankers_are_answered_by_name_without_their_blobs(client: httpx.AsyncClient) -> None:
    said = msgspec.json.decode((await client.get("/rankers")).content, type=RankersAnswer)
    assert {name: (ranker.version, ranker.blob) for name, ranker in said.rankers.items()} == {"offers": (4, "")}


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/users/none/offers", r"\?wait=2s"),
        ("/rankings/none", r"\?wait=2s"),
        ("/offers/none/stats", "X-Tenant"),
    ],
)
async def test_what_is_unknown_is_a_problem_that_says_what_to_do(
    client: httpx.AsyncClient, path: str, advice: str
) -> None:
    assert re.search(advice, problem(await client.get(path), 404))


async def test_without_rankers_the_list_is_a_problem() -> None:
    async with calling(MemoryValues()) as client:
        assert "No ranker" in problem(await client.get("/rankers"), 404)


@pytest.mark.parametrize("path", ["/users/bob/offers", "/rankings/late"])
async def test_a_ranking_may_be_waited_for(values: MemoryValues, client: httpx.AsyncClient, path: str) -> None:
    asked = asyncio.create_task(client.get(f"{path}?wait=5s"))
    await asyncio.sleep(0)
    await apply(values, serve(*record(ranking("late", user="bob"))))
    assert (await asked).json()["ranking"]["event_id"] == "late"


async def test_waiting_ends_at_the_longest_wait(values: MemoryValues) -> None:
    async with calling(values, ApiSettings(longest_wait_ms=1)) as client:
        for path in ("/users/none/offers", "/rankings/none"):
            problem(await client.get(f"{path}?wait=999s"), 404)
            assert "query wait" in problem(await client.get(f"{path}?wait=soon"), 422)


async def test_what_somebody_else_showed_is_no_ranking_of_ours(values: MemoryValues, client: httpx.AsyncClient) -> None:
    theirs = ranking("theirs", event_time=NOON + 1, shown=True, policy="logged", slots=(slot(),))
    await apply(values, serve(*record(theirs)))
    assert (await client.get("/users/ann/offers")).json()["ranking"]["event_id"] == "d1"
    assert (await client.get("/rankings/theirs")).json()["ranking"]["shown"] is True


@pytest.mark.parametrize("path", PATHS)
async def test_the_same_results_are_not_sent_twice(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", PATHS)
async def test_a_tenant_reads_its_own(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path, headers={"X-Tenant": "acme"}), 404)


@pytest.mark.parametrize("path", PATHS)
async def test_nothing_can_be_changed(client: httpx.AsyncClient, path: str) -> None:
    assert "only reads" in problem(await client.post(path), 405)


async def test_with_redis_away_every_read_says_when_to_come_back() -> None:
    redis = connect("redis://127.0.0.1:1/0")
    async with calling(redis) as client:
        for path in (*PATHS, "/rankings/d1?wait=9s", "/users/ann/offers?wait=9s"):
            assert "Nothing is lost" in problem(await client.get(path), 503)
    await redis.aclose()


async def test_ids_may_hold_slashes_and_any_letters(values: MemoryValues, client: httpx.AsyncClient) -> None:
    await apply(values, serve(*record(ranking("Käse/1", user="a/b"))))
    assert (await client.get("/rankings/K%C3%A4se%2F1")).json()["ranking"]["user"] == "a/b"
    assert (await client.get("/users/a%2Fb/offers")).status_code == 200
