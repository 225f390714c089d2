"""What every test may ask for: real services, started once a session, and the real event data."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from streams.services import kafka as broker
from streams.services.supervisor import Endpoints, Part, down, up

settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("try", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "try")


@pytest.fixture(scope="session")
def services_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hold the session's services; whatever was started in it ends with the session."""
    folder = tmp_path_factory.mktemp("services")
    yield folder
    down(folder)


@pytest.fixture(scope="session")
def kafka(services_folder: Path) -> str:
    """Return the bootstrap address of a real Kafka broker without topics."""
    lacking = broker.missing_programs()
    if lacking and not os.environ.get("HEADRACE_REQUIRE_LIVE"):
        pytest.skip(f"no Kafka broker here: {lacking}")
    return _address(up(services_folder, (Part.KAFKA,)).kafka)


@pytest.fixture(scope="session")
def redis_url(services_folder: Path) -> str:
    """Return the URL of a real, durable Redis server; tests share it, so take keys of your own."""
    return _address(up(services_folder, (Part.REDIS,)).redis)


@pytest.fixture(scope="session")
def clickhouse_url(services_folder: Path) -> str:
    """Return the HTTP address of a real ClickHouse engine; tests share it, so take a database of your own."""
    return _address(up(services_folder, (Part.CLICKHOUSE,)).clickhouse)


@pytest.fixture(scope="session")
def services(kafka: str, redis_url: str, clickhouse_url: str) -> Endpoints:
    """Return the addresses of all three services."""
    return Endpoints(kafka, redis_url, clickhouse_url)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Return the folder of real event data that HEADRACE_DATA points to."""
    named = os.environ.get("HEADRACE_DATA")
    if named and Path(named).is_dir():
        return Path(named)
    lacking = f"HEADRACE_DATA is {named!r}, not a folder of event data"
    if os.environ.get("HEADRACE_REQUIRE_DATA") == "1":
        pytest.fail(lacking)
    pytest.skip(lacking)


def _address(address: str | None) -> str:
    assert address is not None
    return address
