"""Answers flip within two seconds of a consumer that stands still, and never because nobody publishes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.answers import Lag
from api.app import create_app
from api.backlog import LOOK_SECONDS, TRUSTED_MS, Backlog, Place, Reading
from api.freshness import MADE_BY
from sinks.base import Progress, SinkBusy
from sinks.memory import MemoryValues
from sinks.progress import PROGRESS, progress_field
from sinks.serving import Reader, apply, serve
from tests.contracts import results
from tests.contracts.results import NOON, record

pytestmark = pytest.mark.anyio
LOOK_MS = round(LOOK_SECONDS * 1_000)
ROUTES = {
    "/scores/e1": "score",
    "/users/ann/risk": "score",
    "/users/ann/features": "features",
    "/terminals/t1": "score",
    "/models": "models",
    "/users/ann/offers": "ranking",
    "/rankings/d1": "ranking",
    "/offers/coffee/stats": "usage",
    "/rankers": "rankers",
    "/users/ann/recommendations": "recommendations",
    "/items/alien/demand": "demand",
}


MESSAGES = (
    results.score(),
    results.features(),
    results.model_version(),
    results.ranking(),
    results.offer_usage(),
    results.ranker_version(),
    results.recommendations(expires_at=NOON + 3_600_000),
    results.item_demand(),
)
OPERATORS = {"/livez", "/readyz", "/metrics"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    """A clock, and a log with one partition for each processor, in which all of them stand at its end."""

    def __init__(self, processors: Sequence[str] = ("features", "fraud")) -> None:
        self.now = NOON
        self.away = False
        self.end = 1_000
        self.next = dict.fromkeys(processors, self.end)
        self.backlog = Backlog(self, lambda: self.now)

    async def places(self) -> dict[Reading, Place]:
        if self.away:
            raise SinkBusy(1.0, "Kafka is away")
        return {Reading(name, "transactions", 0): Place(next, self.end) for name, next in self.next.items()}

    async def go_on(self, milliseconds: int, published: int = 0, taken: bool = True) -> None:
        """Let time pass as the API sees it, a look at a time, while so many records come at each."""
        for _ in range(milliseconds // LOOK_MS):
            self.now += LOOK_MS
            self.end += published
            if taken:
                self.next = dict.fromkeys(self.next, self.end)
            await self.backlog.look()


@asynccontextmanager
async def calling(world: World) -> AsyncIterator[httpx.AsyncClient]:
    values = MemoryValues()
    for message in MESSAGES:
        await apply(values, serve(*record(message)))
    for name in world.next:
        await values.hset(PROGRESS, *progress_field(name, 0, Progress(NOON, NOON)))
    app = create_app(Reader(values), now=lambda: world.now, log=world)
    world.backlog = app.state.backlog
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://headrace") as client:
        yield client


@pytest.mark.parametrize("path", ROUTES)
async def test_every_answer_flips_within_two_seconds_of_a_paused_consumer(path: str) -> None:
    world = World(sorted(MADE_BY[ROUTES[path]]))
    async with calling(world) as client:
        await world.go_on(1_000, published=50)
        before = (await client.get(path)).json()
        await world.go_on(2_000, published=50, taken=False)
        after = (await client.get(path)).json()
        await world.go_on(LOOK_MS)
        again = (await client.get(path)).json()
    assert (before["stale"], before["lag"]) == (False, {"ms": 0, "records": 0})
    assert after["stale"] is True
    assert after["source"] == "last_good" != before["source"]
    assert after["lag"] == {"ms": 2_000 - LOOK_MS, "records": 8 * 50 * len(world.next)}
    assert (again["stale"], again["source"]) == (False, before["source"])


def test_every_route_is_among_those_that_flip() -> None:
    described = set(create_app(Reader(MemoryValues())).openapi()["paths"]) - OPERATORS
    assert described == {route for route in described if any(matches(route, path) for path in ROUTES)}


def matches(route: str, path: str) -> bool:
    parts, asked = route.split("/"), path.split("/")
    return len(parts) == len(asked) and all(a == b or a[:1] == "{" for a, b in zip(parts, asked, strict=True))


async def test_an_answer_stays_fresh_for_as_long_as_nobody_publishes() -> None:
    world = World()
    async with calling(world) as client:
        await world.go_on(3_600_000)
        said = (await client.get("/scores/e1")).json()
    assert said["ages"]["commit_ms"] == 3_600_000
    assert (said["stale"], said["lag"]) == (False, {"ms": 0, "records": 0})


async def test_a_pipeline_that_takes_all_but_always_late_is_stale() -> None:
    world = World()
    await world.go_on(LOOK_MS)
    for _ in range(40):
        await world.go_on(LOOK_MS, published=10, taken=False)
        world.next = dict.fromkeys(world.next, world.end - 100)
    await world.backlog.look()
    assert world.backlog.lag(["fraud"]) == Lag(9 * LOOK_MS, 100)


async def test_the_part_that_does_not_come_from_who_stands_still_stays_fresh() -> None:
    world = World(("features", "fraud", "offers"))
    async with calling(world) as client:
        await world.go_on(LOOK_MS)
        world.end += 1
        world.next |= dict.fromkeys(("features", "fraud"), world.end)
        await world.go_on(2_000, taken=False)
        score, ranking, ready = [(await client.get(path)).json() for path in ("/scores/e1", "/rankings/d1", "/readyz")]
    assert (score["stale"], ranking["stale"], ready["stale"]) == (False, True, True)
    assert ready["lag"] == {"ms": 2_000 - LOOK_MS, "records": 1}


async def test_where_the_log_is_away_the_last_commit_tells() -> None:
    world = World()
    async with calling(world) as client:
        await world.go_on(LOOK_MS)
        world.away = True
        world.now += TRUSTED_MS + 1
        said = (await client.get("/scores/e1")).json()
        world.now += 60_000
        later = (await client.get("/scores/e1")).json()
    assert (said["lag"], said["stale"], later["stale"]) == (None, False, True)


async def test_a_look_that_fails_is_taken_again() -> None:
    world = World()
    world.away = True
    async with calling(world):
        with pytest.raises(SinkBusy):
            await world.backlog.look()
        world.away = False
        await world.backlog.look()
    assert world.backlog.lag(["fraud"]) == Lag(0, 0)


async def test_what_is_not_there_may_be_among_what_waits() -> None:
    world = World()
    async with calling(world) as client:
        await world.go_on(LOOK_MS)
        quiet = (await client.get("/scores/none")).json()["detail"]
        await world.go_on(2_000, published=1, taken=False)
        behind = (await client.get("/scores/none")).json()["detail"]
    assert "wait for the pipeline" not in quiet
    assert behind.endswith(f"16 records wait for the pipeline, the oldest for {2_000 - LOOK_MS} ms.")


@pytest.mark.parametrize(
    ("asked", "status", "stale"),
    [
        ("", 200, False),
        ("?max_age_ms=1000", 200, False),
        ("?max_age_ms=999", 200, True),
        ("?max_age_ms=999&when_stale=answer", 200, True),
        ("?max_age_ms=999&when_stale=refuse", 409, None),
        ("?max_age_ms=1000&when_stale=refuse", 200, False),
        ("?when_stale=refuse", 200, False),
        ("?max_age_ms=-1", 422, None),
        ("?when_stale=perhaps", 422, None),
    ],
)
async def test_a_client_says_how_old_an_answer_it_takes(asked: str, status: int, stale: bool | None) -> None:
    world = World()
    async with calling(world) as client:
        await world.go_on(LOOK_MS)
        await world.go_on(1_000 + LOOK_MS, published=1, taken=False)
        answer = await client.get(f"/scores/e1{asked}")
    assert (answer.status_code, answer.json().get("stale")) == (status, stale)


async def test_an_answer_refused_as_stale_says_for_how_long_newer_events_have_waited() -> None:
    world = World()
    async with calling(world) as client:
        await world.go_on(LOOK_MS)
        await world.go_on(2_000, published=1, taken=False)
        refused = await client.get("/users/ann/risk?when_stale=refuse")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:headrace:problem:stale")
    assert f"newer events have waited {2_000 - LOOK_MS} ms" in refused.json()["detail"]


async def test_an_answer_that_has_become_stale_is_sent_again_though_the_result_is_the_same() -> None:
    world = World()
    async with calling(world) as client:
        await world.go_on(LOOK_MS)
        tag = (await client.get("/scores/e1")).headers["ETag"]
        assert (await client.get("/scores/e1", headers={"If-None-Match": tag})).status_code == 304
        await world.go_on(2_000, published=1, taken=False)
        assert (await client.get("/scores/e1", headers={"If-None-Match": tag})).status_code == 200


async def test_a_topic_that_was_made_anew_has_nothing_waiting() -> None:
    world = World()
    await world.go_on(1_000, published=5, taken=False)
    world.end, world.next = 3, dict.fromkeys(world.next, 3)
    await world.backlog.look()
    assert world.backlog.lag(["fraud"]) == Lag(0, 0)


async def test_nothing_is_known_before_the_first_look_or_of_others() -> None:
    world = World()
    assert world.backlog.lag(["fraud"]) is None
    await world.backlog.look()
    assert world.backlog.lag(["nobody"]) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=60))
async def test_a_record_waits_from_the_look_that_first_saw_it(steps: list[tuple[int, int]]) -> None:
    world = World(("fraud",))
    seen = dict.fromkeys(range(world.end), world.now)
    for published, taken in steps:
        world.end += published
        world.next["fraud"] = min(world.end, world.next["fraud"] + taken)
        world.now += LOOK_MS
        await world.backlog.look()
        seen = dict.fromkeys(range(world.end), world.now) | seen
        waiting = range(world.next["fraud"], world.end)
        oldest = world.now - seen[waiting[0]] if waiting else 0
        assert world.backlog.lag(["fraud"]) == Lag(oldest, len(waiting))


async def test_a_stand_still_of_a_day_is_remembered_in_little_and_from_its_start() -> None:
    world = World(("fraud",))
    await world.go_on(LOOK_MS)
    await world.go_on(1_000_000, published=1, taken=False)
    assert world.backlog.lag(["fraud"]) == Lag(1_000_000 - LOOK_MS, 4_000)
    world.next["fraud"] = world.end - 400
    await world.backlog.look()
    found = world.backlog.lag(["fraud"])
    assert found is not None
    assert 99_000 <= found.ms <= 110_000
