"""The real engine of ClickHouse, embedded, for each module of tests that ask it; and where results are served from."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from sinks.connection import connect
from sinks.memory import MemoryValues
from tests.sinks.analysts import emptied, engine_in


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with engine_in(tmp_path_factory.mktemp("analytics")) as client:
        yield client


@pytest.fixture
def client(engine: Any) -> Any:
    return emptied(engine)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url.removesuffix("/0") + "/8")
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture(params=["redis", "memory"])
def values(request: pytest.FixtureRequest) -> Any:
    return MemoryValues() if request.param == "memory" else request.getfixturevalue("redis")
