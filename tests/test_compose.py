"""The compose file is whole: pinned, health-checked, ordered and in the words of the command line."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from typer.core import TyperGroup

from streams.services import kafka

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILE = [line for line in (ROOT / "deploy/Dockerfile").read_text().splitlines() if line]


def is_one_shot(service: dict[str, Any]) -> bool:
    return service.get("restart") == "no"


def dependencies() -> list[tuple[str, str, str]]:
    return [
        (name, needed, how["condition"])
        for name, service in SERVICES.items()
        for needed, how in service.get("depends_on", {}).items()
    ]


def test_all_parts_are_there() -> None:
    assert set(SERVICES) == {"kafka", "redis", "clickhouse", "topics", "worker", "sink", "api"}
    assert set(OURS) == {"topics", "worker", "sink", "api"}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_a_health_check_or_runs_once(name: str) -> None:
    assert ("healthcheck" in SERVICES[name]) != is_one_shot(SERVICES[name])


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_pinned_to_its_patch_release(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    release, _, _ = tag.partition("-")
    assert len([number for number in release.split(".") if number.isdecimal()]) >= 3


@pytest.mark.parametrize(("name", "needed", "condition"), dependencies())
def test_a_service_waits_for_health_or_for_the_end_of_what_runs_once(name: str, needed: str, condition: str) -> None:
    ends = is_one_shot(SERVICES[needed])
    assert condition == ("service_completed_successfully" if ends else "service_healthy")


def test_every_part_waits_for_the_parts_it_talks_to() -> None:
    waits = {(name, needed) for name, needed, _ in dependencies()}
    assert waits >= {("topics", "kafka"), ("worker", "redis"), ("sink", "clickhouse"), ("api", "redis")}
    assert waits >= {("worker", "topics"), ("sink", "topics")}


@pytest.mark.parametrize("name", OURS)
def test_our_parts_know_where_the_others_are(name: str) -> None:
    environment = OURS[name]["environment"]
    assert environment["HEADRACE_KAFKA"] == "kafka:19092"
    assert environment["HEADRACE_REDIS"] == "redis://redis:6379/0"
    assert environment["HEADRACE_CLICKHOUSE"] == "http://clickhouse:8123"


@pytest.mark.parametrize("name", OURS)
def test_the_secret_has_no_default(name: str) -> None:
    assert OURS[name]["environment"]["HEADRACE_SECRET"].startswith("${HEADRACE_SECRET:?")


@pytest.mark.parametrize("name", OURS)
def test_a_command_of_ours_is_one_of_headrace(name: str) -> None:
    command = typer.main.get_command(pytest.importorskip("streams.main").app)
    words = list(OURS[name]["command"])
    while isinstance(command, TyperGroup):
        command = command.commands[words.pop(0)]
    with command.make_context(name, words):
        pass  # the options are known and their values fit


def test_nothing_listens_beyond_this_machine() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_what_keeps_data_keeps_it_in_a_volume() -> None:
    for name in COMPOSE["volumes"]:
        assert any(volume.startswith(f"{name}:") for volume in SERVICES[name]["volumes"])


def test_redis_is_durable_and_never_evicts() -> None:
    told = shlex.join(SERVICES["redis"]["command"])
    assert "--appendonly yes --appendfsync everysec" in told
    assert "--maxmemory-policy noeviction" in told


def test_kafka_is_the_release_that_the_local_broker_is() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka.VERSION}"
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_image_runs_headrace_without_root_from_the_locked_dependencies() -> None:
    assert DOCKERFILE[-1] == 'ENTRYPOINT ["headrace"]'
    assert "USER headrace" in DOCKERFILE
    assert all("--frozen" in line for line in DOCKERFILE if "uv sync" in line)


def test_the_image_holds_every_package_of_the_wheel() -> None:
    copied = {line.split()[1] for line in DOCKERFILE if line.startswith("COPY ")}
    packages = {found.parent.name for found in ROOT.glob("*/py.typed")}
    assert packages <= copied
