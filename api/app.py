"""The API: it reads what the pipeline committed, and never scores."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from api.answering import Answers
from api.freshness import Freshness
from api.health import health_routes
from api.metrics import Counted
from api.offers import offer_routes
from api.openapi import DESCRIPTION, TITLE, describe
from api.problems import answer_problems
from api.results import result_routes
from api.settings import ApiSettings
from sinks.base import ResultReader


def wall_clock_ms() -> int:
    """Return the time in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def create_app(
    reader: ResultReader, settings: ApiSettings = ApiSettings(), now: Callable[[], int] = wall_clock_ms
) -> FastAPI:
    """Return the API over `reader`, which it closes when it ends. `now` is a clock in milliseconds since 1970 UTC."""

    @asynccontextmanager
    async def closing(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await reader.aclose()

    app = FastAPI(
        title=TITLE, description=DESCRIPTION, version=version("headrace"), lifespan=closing, redirect_slashes=False
    )
    registry = CollectorRegistry()
    freshness = Freshness(reader, now, settings.stale_after_ms)
    answers = Answers(freshness, settings)
    app.include_router(result_routes(reader, answers, settings))
    app.include_router(offer_routes(reader, answers, settings))
    app.include_router(health_routes(freshness, registry))
    app.add_middleware(Counted, registry=registry)
    answer_problems(app)
    describe(app)
    return app
