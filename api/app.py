"""The API: it reads what the pipeline committed, and never scores."""

import time
from asyncio import TaskGroup
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry

from api.answering import Answers
from api.backlog import Backlog, Log
from api.bounds import asked_bound
from api.freshness import Freshness
from api.health import health_routes
from api.metrics import Counted
from api.offers import offer_routes
from api.openapi import DESCRIPTION, TITLE, describe
from api.problems import answer_problems, documented
from api.recommendations import recommendation_routes
from api.results import result_routes
from api.settings import ApiSettings
from sinks.base import ResultReader


def wall_clock_ms() -> int:
    """Return the time in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def create_app(
    reader: ResultReader,
    settings: ApiSettings = ApiSettings(),
    now: Callable[[], int] = wall_clock_ms,
    log: Log | None = None,
) -> FastAPI:
    """Return the API over `reader`, which it closes when it ends. `now` is a clock in milliseconds since 1970 UTC.

    `log` tells what waits for the pipeline, where anybody knows; it is looked at for as long as the API runs.
    """
    backlog = None if log is None else Backlog(log, now)

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        async with TaskGroup() as beside:
            watching = None if backlog is None else beside.create_task(backlog.watch())
            yield
            if watching is not None:
                watching.cancel()
        await reader.aclose()

    app = FastAPI(
        title=TITLE, description=DESCRIPTION, version=version("headrace"), lifespan=running, redirect_slashes=False
    )
    app.state.backlog = backlog
    registry = CollectorRegistry()
    freshness = Freshness(reader, now, settings, backlog)
    answers = Answers(freshness, settings)
    for routes in (result_routes, offer_routes, recommendation_routes):
        router = routes(reader, answers, settings)
        app.include_router(router, dependencies=[Depends(asked_bound)], responses=documented(409))
    app.include_router(health_routes(freshness, registry))
    app.add_middleware(Counted, registry=registry)
    answer_problems(app)
    describe(app)
    return app
