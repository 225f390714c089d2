"""The API answers with the stored results, says how fresh they are, and refuses with problems."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping

import httpx
import msgspec
import pytest

from api.answers import FeaturesAnswer, ModelsAnswer, Problem, Ready, ScoreAnswer
from api.app import create_app, wall_clock_ms
from api.settings import ApiSettings
from sinks.base import Progress, SinkBusy
from sinks.connection import connect
from sinks.memory import MemoryValues
from sinks.progress import PROGRESS, progress_field
from sinks.serving import Reader, apply, serve
from tests.api.calls import NOW, calling
from tests.contracts.results import NOON, features, model_version, record, score

pytestmark = pytest.mark.anyio
NAMES = {"card.1": ("amount", "age", "ratio"), "customer": ("amount", "ratio")}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def values() -> MemoryValues:
    values = MemoryValues()
    for message in (score(), score("Käse/1", user="a/b"), features(), model_version()):
        await apply(values, serve(*record(message)))
    await values.hset(PROGRESS, *progress_field("fraud", 0, Progress(NOON, NOW - 40)))
    return values


@pytest.fixture
async def client(values: MemoryValues) -> AsyncIterator[httpx.AsyncClient]:
    async with calling(values, ApiSettings(feature_names=NAMES)) as client:
        yield client


def problem(answer: httpx.Response, status: int) -> Problem:
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    said = msgspec.json.decode(answer.content, type=Problem)
    assert said.status == status
    return said


async def test_a_score_is_answered_as_it_was_stored(client: httpx.AsyncClient) -> None:
    answer = await client.get("/scores/e1")
    assert record(score())[1] in answer.content
    said = msgspec.json.decode(answer.content, type=ScoreAnswer)
    assert said.score == score()
    assert said.feature_names == NAMES["card.1"]


async def test_every_answer_says_how_fresh_it_is_and_who_made_it(client: httpx.AsyncClient) -> None:
    for path, model, version in [
        ("/scores/e1", "fraud", 3),
        ("/users/ann/risk", "fraud", 3),
        ("/terminals/t1", "fraud", 3),
        ("/users/ann/features", None, None),
        ("/models", None, None),
    ]:
        said = (await client.get(path)).json()
        assert said["as_of"] == NOON
        assert said["ages"] == {"event_ms": 5_000, "commit_ms": 40}
        assert (said["stale"], said["model"], said["version"]) == (False, model, version)


async def test_features_come_with_their_names(client: httpx.AsyncClient) -> None:
    said = msgspec.json.decode((await client.get("/users/ann/features")).content, type=FeaturesAnswer)
    assert (said.feature_names, said.features) == (NAMES["customer"], features())


async def test_a_feature_set_nobody_named_is_answered_without_names(values: MemoryValues) -> None:
    async with calling(values) as client:
        assert (await client.get("/scores/e1")).json()["feature_names"] is None


async def test_models_are_answered_by_name_with_their_versions(client: httpx.AsyncClient) -> None:
    said = msgspec.json.decode((await client.get("/models")).content, type=ModelsAnswer)
    assert {name: (model.version, model.blob) for name, model in said.models.items()} == {"fraud": (3, "")}


async def test_ids_may_hold_slashes_and_any_letters(client: httpx.AsyncClient) -> None:
    assert (await client.get("/scores/K%C3%A4se%2F1")).json()["score"]["event_id"] == "Käse/1"
    assert (await client.get("/users/a%2Fb/risk")).status_code == 200


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/scores/none", r"\?wait=2s"),
        ("/users/none/risk", "X-Tenant"),
        ("/users/none/features", "X-Tenant"),
        ("/terminals/none", "X-Tenant"),
        ("/nowhere", "/docs"),
    ],
)
async def test_an_unknown_id_is_a_problem_that_says_what_to_do(
    client: httpx.AsyncClient, path: str, advice: str
) -> None:
    said = problem(await client.get(path), 404)
    assert re.search(advice, said.detail)


async def test_without_models_the_list_is_a_problem() -> None:
    async with calling(MemoryValues()) as client:
        assert "matured labels" in problem(await client.get("/models"), 404).detail


async def test_a_score_may_be_waited_for(values: MemoryValues, client: httpx.AsyncClient) -> None:
    asked = asyncio.create_task(client.get("/scores/late?wait=5s"))
    await asyncio.sleep(0)
    await apply(values, serve(*record(score("late"))))
    assert (await asked).status_code == 200


async def test_waiting_ends_at_the_longest_wait(values: MemoryValues) -> None:
    async with calling(values, ApiSettings(longest_wait_ms=1)) as client:
        problem(await client.get("/scores/none?wait=999s"), 404)


@pytest.mark.parametrize("wait", ["soon", "-1ms", "1h", ""])
async def test_a_wait_that_is_no_span_is_a_problem(client: httpx.AsyncClient, wait: str) -> None:
    assert "query wait" in problem(await client.get("/scores/e1", params={"wait": wait}), 422).detail


async def test_the_same_results_are_not_sent_twice(values: MemoryValues, client: httpx.AsyncClient) -> None:
    first = await client.get("/users/ann/risk")
    again = await client.get("/users/ann/risk", headers={"If-None-Match": f'"other", {first.headers["ETag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    await apply(values, serve(*record(score("newer", event_time=NOON + 1))))
    after = await client.get("/users/ann/risk", headers={"If-None-Match": first.headers["ETag"]})
    assert after.json()["score"]["event_id"] == "newer"


async def test_results_are_stale_when_nothing_was_committed_lately(values: MemoryValues) -> None:
    await values.hset(PROGRESS, *progress_field("features", 0, Progress(NOON, NOW - 60_001)))
    async with calling(values) as client:
        assert (await client.get("/scores/e1")).json()["stale"] is True


async def test_results_are_stale_when_nothing_is_known_to_be_committed() -> None:
    values = MemoryValues()
    await apply(values, serve(*record(score())))
    async with calling(values) as client:
        said = (await client.get("/scores/e1")).json()
        assert (said["stale"], said["ages"]["commit_ms"]) == (True, None)


@pytest.mark.parametrize("path", ["/scores/e1", "/users/ann/risk", "/models", "/livez"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_changed(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path)
    assert "only reads" in problem(answer, 405).detail
    assert answer.headers["Allow"] == "GET"


async def test_a_tenant_reads_its_own(values: MemoryValues, client: httpx.AsyncClient) -> None:
    await apply(values, serve(*record(score(tenant="acme", amount=1.0))))
    assert (await client.get("/scores/e1", headers={"X-Tenant": "acme"})).json()["score"]["amount"] == 1.0
    problem(await client.get("/scores/e1", headers={"X-Tenant": "other"}), 404)


KEYS: Mapping[str, str] = {"k-default": "default", "k-acme": "acme"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": "k-acme", "X-Tenant": "default"}, 403),
        ({"X-API-Key": "k-acme"}, 404),
        ({"X-API-Key": "k-default"}, 200),
        ({"X-API-Key": "k-default", "X-Tenant": "default"}, 200),
    ],
)
async def test_a_key_opens_its_tenant_only(values: MemoryValues, headers: dict[str, str], status: int) -> None:
    async with calling(values, ApiSettings(api_keys=KEYS)) as client:
        answer = await client.get("/scores/e1", headers=headers)
        assert answer.status_code == status
        if status in (401, 403):
            problem(answer, status)
        assert (await client.get("/livez")).status_code == 200


async def test_with_redis_away_every_read_says_when_to_come_back() -> None:
    redis = connect("redis://127.0.0.1:1/0")
    async with calling(redis) as client:
        for path in ("/scores/e1", "/scores/e1?wait=9s", "/users/ann/risk", "/terminals/t1", "/models", "/readyz"):
            answer = await client.get(path)
            assert "Nothing is lost" in problem(answer, 503).detail
            assert answer.headers["Retry-After"] == "1"
        assert (await client.get("/livez")).json() == {"status": "alive"}
    await redis.aclose()


async def test_ready_means_results_can_be_read_and_tells_how_far_they_are(client: httpx.AsyncClient) -> None:
    said = msgspec.json.decode((await client.get("/readyz")).content, type=Ready)
    assert said == Ready(status="ready", stale=False, processors={"fraud": Progress(NOON, NOW - 40)})


async def test_metrics_count_by_route_and_never_by_id(client: httpx.AsyncClient) -> None:
    for path in ("/scores/e1", "/scores/none", "/nowhere"):
        await client.get(path)
    text = (await client.get("/metrics")).text
    assert 'headrace_api_requests_total{route="/scores/{event_id}",status="200"} 1.0' in text
    assert 'headrace_api_requests_total{route="/scores/{event_id}",status="404"} 1.0' in text
    assert 'headrace_api_requests_total{route="(none)",status="404"} 1.0' in text
    assert "e1" not in text


async def test_a_bug_is_counted_as_one() -> None:
    class Broken(MemoryValues):
        async def get(self, key: str, /) -> bytes | None:
            return b"not JSON"

    async with calling(Broken()) as client:
        with pytest.raises(msgspec.DecodeError):
            await client.get("/scores/e1")
        assert 'status="500"} 1.0' in (await client.get("/metrics")).text


async def test_progress_is_not_looked_up_for_every_answer(values: MemoryValues) -> None:
    looks = 0

    class Watched(Reader):
        async def progress(self) -> Mapping[str, Progress]:
            nonlocal looks
            looks += 1
            return await super().progress()

    app = create_app(Watched(values), now=lambda: NOW)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://headrace") as client:
        for _ in range(10):
            await client.get("/scores/e1")
    assert looks == 1


async def test_the_reader_is_closed_with_the_app() -> None:
    reader = Reader(MemoryValues())
    app = create_app(reader)
    async with app.router.lifespan_context(app):
        waiting = asyncio.create_task(reader.wait_for_score("e1", 60_000))
        await asyncio.sleep(0)
    assert await waiting is None


def test_the_wall_clock_is_in_milliseconds() -> None:
    assert len(str(wall_clock_ms())) == 13


def test_busy_is_an_answer_with_the_seconds_to_wait() -> None:
    assert str(SinkBusy(1.5, "Redis: gone")) == "Redis: gone; try again in 1.5 s"
