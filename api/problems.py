"""Typed errors: every answer that is not a success is an RFC 9457 problem that says what to do."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.answers import Problem
from api.settings import ApiSettings
from sinks.base import SinkBusy

MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    401: "No valid API key",
    403: "Another tenant",
    404: "Not found",
    405: "Only GET",
    409: "Too old",
    422: "Invalid parameter",
    503: "Results are away",
}
_KINDS = {
    401: "unauthorised",
    403: "other-tenant",
    404: "unknown",
    405: "read-only",
    409: "stale",
    422: "invalid-parameter",
    503: "busy",
}


class Refused(Exception):
    """A request that is answered by a problem."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the problem as a response."""
    kind = f"urn:headrace:problem:{_KINDS[status]}" if status in _KINDS else "about:blank"
    body = Problem(type=kind, title=TITLES.get(status, "Error"), status=status, detail=detail)
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def answer_problems(app: FastAPI) -> None:
    """Make every error of `app` a problem."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(SinkBusy, _busy)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the problems of a route for its OpenAPI description."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: {"description": TITLES[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


def read_problems(settings: ApiSettings) -> dict[int | str, dict[str, Any]]:
    """Return the problems of a route that reads something by its key; those of API keys where these are asked for."""
    return documented(*((401, 403) if settings.api_keys else ()), 404, 422, 503)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem(error.status, error.detail, error.headers)


async def _busy(_request: Request, error: Exception) -> Response:
    assert isinstance(error, SinkBusy)
    headers = {"Retry-After": str(math.ceil(error.retry_after))}
    return problem(503, f"{error}. Nothing is lost: the pipeline goes on and results follow.", headers)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"])
    return problem(422, f"{where}: {first['msg']}")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"There is no {request.url.path}. The routes are listed at /docs and in /openapi.json."
    if error.status_code == 405:
        detail = "This API only reads. Publish events to their Kafka topics."
    return problem(error.status_code, detail, error.headers)
