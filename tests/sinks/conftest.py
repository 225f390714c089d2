"""The real engine of ClickHouse, embedded, for each module of tests that ask it."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sinks.analysts import emptied, engine_in


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with engine_in(tmp_path_factory.mktemp("analytics")) as client:
        yield client


@pytest.fixture
def client(engine: Any) -> Any:
    return emptied(engine)
