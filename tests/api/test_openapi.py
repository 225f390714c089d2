"""The OpenAPI description says what the API does."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from api.answers import (
    Alive,
    DemandAnswer,
    FeaturesAnswer,
    ModelsAnswer,
    OfferStatsAnswer,
    RankersAnswer,
    RankingAnswer,
    Ready,
    RecommendationsAnswer,
    ScoreAnswer,
)
from api.app import create_app
from api.settings import ApiSettings
from sinks.base import Progress
from sinks.memory import MemoryValues
from sinks.progress import PROGRESS, progress_field
from sinks.serving import Reader, apply, serve
from tests.contracts.results import (
    NOON,
    features,
    item_demand,
    model_version,
    offer_usage,
    ranker_version,
    ranking,
    recommendations,
    record,
    score,
)


def filled() -> MemoryValues:
    async def fill() -> MemoryValues:
        values = MemoryValues()
        scored = (score("0"), score(user="0", terminal="0"), features(user="0"), model_version())
        ranked = (ranking("0", user="0"), offer_usage(offer="0"), ranker_version())
        recommended = (recommendations(user="0"), item_demand(item="0"))
        for message in (*scored, *ranked, *recommended):
            await apply(values, serve(*record(message)))
        await values.hset(PROGRESS, *progress_field("fraud", 0, Progress(NOON, NOON)))
        return values

    return asyncio.run(fill())


app = create_app(Reader(filled()), ApiSettings(longest_wait_ms=1))
described: dict[str, Any] = app.openapi()
schema = schemathesis.openapi.from_dict(described)
schema.app = app


@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()


def test_every_route_is_described_with_its_problems() -> None:
    assert set(described["paths"]) == {
        "/scores/{event_id}",
        "/users/{user}/risk",
        "/users/{user}/features",
        "/terminals/{terminal}",
        "/models",
        "/users/{user}/offers",
        "/rankings/{decision_id}",
        "/offers/{offer}/stats",
        "/rankers",
        "/users/{user}/recommendations",
        "/items/{item}/demand",
        "/livez",
        "/readyz",
        "/metrics",
    }
    scores = described["paths"]["/scores/{event_id}"]["get"]["responses"]
    assert set(scores) == {"200", "304", "404", "409", "422", "503"}


def test_keys_are_described_where_they_are_needed() -> None:
    locked = create_app(Reader(MemoryValues()), ApiSettings(api_keys={"k": "default"})).openapi()
    assert locked["paths"]["/models"]["get"]["security"] == [{"APIKeyHeader": []}]
    assert {"401", "403"} <= set(locked["paths"]["/models"]["get"]["responses"])
    assert "securitySchemes" not in described["components"]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/scores/{event_id}", ScoreAnswer),
        ("/users/{user}/features", FeaturesAnswer),
        ("/models", ModelsAnswer),
        ("/users/{user}/offers", RankingAnswer),
        ("/rankings/{decision_id}", RankingAnswer),
        ("/offers/{offer}/stats", OfferStatsAnswer),
        ("/rankers", RankersAnswer),
        ("/users/{user}/recommendations", RecommendationsAnswer),
        ("/items/{item}/demand", DemandAnswer),
        ("/readyz", Ready),
        ("/livez", Alive),
    ],
)
def test_every_example_is_an_answer(path: str, answer: Any) -> None:
    example = described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"]
    assert msgspec.convert(example, answer)
    assert described["components"]["schemas"][answer.__name__]["description"]


def test_the_description_is_served() -> None:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://headrace") as client:
            return await client.get("/openapi.json")

    assert asyncio.run(ask()).json() == msgspec.json.decode(msgspec.json.encode(described))
