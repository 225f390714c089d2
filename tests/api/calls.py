"""Calling the API in process, at a moment of one's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from api.answers import Problem
from api.app import create_app
from api.settings import ApiSettings
from sinks.serving import Reader
from tests.contracts.results import NOON

NOW = NOON + 5_000


@asynccontextmanager
async def calling(
    values: Any, settings: ApiSettings = ApiSettings(), now: int = NOW
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an API that reads these values."""
    app = create_app(Reader(values), settings, now=lambda: now)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://headrace") as client:
        yield client


def problem(answer: httpx.Response, status: int) -> str:
    """Return what a problem says, which has this status."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    return msgspec.json.decode(answer.content, type=Problem).detail
