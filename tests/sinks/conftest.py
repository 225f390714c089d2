"""The real engine of ClickHouse, embedded, with the tables and views of headrace."""

from collections.abc import Iterator
from typing import Any

import pytest

from sinks.analytics import client_for, create_schema
from tests.sinks.analysts import emptied


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    client = client_for(f"chdb://{tmp_path_factory.mktemp('analytics')}")
    create_schema(client)
    yield client
    client.close()


@pytest.fixture
def client(engine: Any) -> Any:
    return emptied(engine)
