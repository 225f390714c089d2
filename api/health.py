"""The routes that operators ask: does it live, can it answer, what has it answered."""

import msgspec
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from api.answers import Alive, Ready
from api.freshness import Freshness
from api.openapi import answered
from api.problems import documented

_METRICS = {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def health_routes(freshness: Freshness, registry: CollectorRegistry) -> APIRouter:
    """Return the routes of liveness, readiness and metrics. They need no API key."""
    router = APIRouter(tags=["health"])

    @router.get("/livez", responses=answered(Alive), response_class=Response)
    async def livez() -> Response:
        """Answer as long as this process can."""
        return _json(Alive(status="alive"))

    @router.get("/readyz", responses=answered(Ready) | documented(503), response_class=Response)
    async def readyz() -> Response:
        """Say whether results can be read; stale results can."""
        progress = dict(await freshness.progress())
        newest = max((each.event_time for each in progress.values()), default=0)
        lag = await freshness.lag()
        stale = freshness.is_stale(await freshness.ages(newest), lag)
        return _json(Ready(status="ready", stale=stale, processors=progress, lag=lag))

    @router.get("/metrics", responses={200: _METRICS}, response_class=Response)
    async def metrics() -> Response:
        """Return what this process counted."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _json(answer: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
