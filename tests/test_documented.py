"""What an operator can set, send and read is on a page, as it is in the code."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from processors.base import AnyProcessor
from schemas.durations import milliseconds
from schemas.events import Click, Event, Feedback, Offer, OfferRequest, Profile, Transaction
from schemas.money import EXPONENTS
from schemas.privacy import personal_fields
from schemas.recommendation_results import CatalogueItem
from schemas.records import DAY, AnyTopic
from schemas.topics import ALL, BY_NAME
from streams.assembly import pipeline
from streams.settings import Settings

ROOT = Path(__file__).parents[1]
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
TOPICS = (ROOT / "docs" / "topics.md").read_text()
KEPT, _, WIRED = TOPICS.partition("## How they are wired")
SENT: tuple[type[Event], ...] = (Transaction, Feedback, Click, Offer, OfferRequest, CatalogueItem, Profile)
FOLDERS = ("schemas", "online_models", "processors", "sinks", "streams", "api", "tests")
VARIABLE = re.compile(r"HEADRACE_[A-Z]+(?:_[A-Z]+)*")


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of each table row of a page, by the first of them."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return {first.strip("`"): rest for first, *rest in cells}


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def read(kind: Any, text: str) -> Any:
    """Return a default as the page tells it, as a value of the setting's type."""
    if kind is None:
        return None if text == "–" else Path(text)
    if isinstance(kind, bool):
        return text == "true"
    if isinstance(kind, SecretStr):
        return SecretStr(text)
    if isinstance(kind, int) and not text.isdigit():
        return milliseconds(text)
    if isinstance(kind, tuple):
        return tuple(text.split(","))
    return type(kind)() if isinstance(kind, dict) and text == "{}" else type(kind)(text)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_told_with_its_default_and_its_meaning(name: str) -> None:
    default, meaning = rows(SETTINGS)[f"HEADRACE_{name.upper()}"]
    expected = Settings.model_fields[name].default
    assert read(expected, default.strip("`")) == expected
    assert len(meaning) > 10


def test_no_setting_is_told_that_is_not_there() -> None:
    told = {name for name in rows(SETTINGS) if name.startswith("HEADRACE_")}
    read_elsewhere = {f"HEADRACE_{name}" for name in ("DATA", "REQUIRE_DATA", "REQUIRE_LIVE", "FAILPOINT")}
    assert told == {f"HEADRACE_{name.upper()}" for name in Settings.model_fields} | read_elsewhere


def test_every_variable_that_code_names_is_told() -> None:
    named = {
        name
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for name in VARIABLE.findall(path.read_text())
        if path != Path(__file__)
    }
    assert named - set(rows(SETTINGS)) == set()


@pytest.mark.parametrize("topic", ALL, ids=[topic.name for topic in ALL])
def test_every_topic_is_told_as_it_is_declared(topic: AnyTopic) -> None:
    message, key, partitions, kept = rows(KEPT)[topic.name]
    assert message == f"`{topic.model.__name__}`"
    assert key
    assert int(partitions) == topic.partitions
    days = f"{topic.retention_ms // DAY} days"
    everything = f", {days} of all" if topic.retention_ms else ""
    assert kept == (f"newest of each key{everything}" if topic.compacted else days)


def test_no_topic_is_told_that_is_not_there() -> None:
    assert set(rows(KEPT)) - {"topic", "---"} == set(BY_NAME)


@pytest.mark.parametrize("processor", pipeline(Settings()).processors, ids=lambda processor: processor.name)
def test_the_wiring_is_told_as_it_is(processor: AnyProcessor) -> None:
    told = [quoted(cell) for cell in rows(WIRED)[processor.name]]
    wired = (processor.inputs, processor.tables, processor.outputs)
    assert told == [[topic.name for topic in topics] for topics in wired]


@pytest.mark.parametrize("model", SENT, ids=[model.__name__ for model in SENT])
def test_every_field_that_can_be_sent_is_told(model: type[Event]) -> None:
    required, optional = (quoted(cell) for cell in rows(TOPICS)[model.__name__])
    fields = model.model_fields
    assert sorted(required) == sorted(name for name, info in fields.items() if info.is_required())
    assert sorted(optional) == sorted(name for name, info in fields.items() if not info.is_required())


def test_what_is_personal_is_told() -> None:
    told = quoted(TOPICS.rpartition("are personal")[0].rpartition(".\n")[2])
    assert set(told) == {name for model in SENT for name in personal_fields(model)}


def test_declared_units_are_told() -> None:
    assert {"SAT", "BTC", "MILES", "POINTS"} <= set(EXPONENTS) & set(quoted(TOPICS))
