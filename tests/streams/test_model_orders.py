"""An order is given only where something can come of it; what it is made of is what the log and Redis still have."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec
import pytest
from typer.testing import CliRunner

from processors.learning import FraudLearner
from processors.model_orders import Excluded
from schemas.results import Example, ModelVersion
from schemas.topics import EXAMPLES
from sinks.memory import MemoryValues
from sinks.serving import Reader, apply, serve
from streams.main import app
from streams.model_orders import Keys, Refused, logged, rebuild, rollback
from streams.task import Task
from tests.builders import HOUR, NOON, example, heard, record, signed, verified
from tests.streams.memory_log import MemoryLog

FEATURES = ("amount", "risk")
KEYS = Keys(signed, verified, FEATURES, "f", "ann")
LIES = range(45, 50)
T = TypeVar("T")


def outcomes(count: int = 80) -> list[Example]:
    """Return outcomes an hour apart, five of which a source lied about."""
    return [
        example(
            f"e{n}",
            NOON + n * HOUR,
            label=n % 7 == 0 or n in LIES,
            vector=(float(n % 90), 0.1),
            source="liar" if n in LIES else "window",
        )
        for n in range(count)
    ]


def versions(examples: list[Example]) -> list[ModelVersion]:
    learner = FraudLearner(FEATURES, "f", signed, verified, {"fraud": "logistic"}, every=20, at_most=10**15)
    return heard(Task(learner, {}, {}), *examples)


def served(found: list[ModelVersion]) -> Reader:
    values = MemoryValues()
    for version in found:
        made = record(version)
        asyncio.run(apply(values, serve(made, made.topic.encode(version))))
    return Reader(values)


def now(question: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(question)


def test_going_back_takes_the_version_as_it_was_published() -> None:
    found = versions(outcomes())
    order = now(rollback(served(found), "fraud", 2, "default", "ann"))
    assert (order.blob, order.examples, order.by) == (found[1].blob, 40, "ann")
    assert order.event_time == found[-1].event_time


@pytest.mark.parametrize(
    ("model", "version", "why"),
    [
        ("fraud", 9, "fraud@9 is not kept"),
        ("fraud", 4, "fraud@4 is the newest version"),
        ("frond", 1, "no model 'frond' .* there is fraud"),
    ],
)
def test_there_is_no_going_back_to_what_is_not_there(model: str, version: int, why: str) -> None:
    with pytest.raises(Refused, match=why):
        now(rollback(served(versions(outcomes())), model, version, "default", ""))


def test_a_model_is_rebuilt_from_the_last_version_before_what_misled_it() -> None:
    examples = outcomes()
    rebuilt = now(rebuild(served(versions(examples)), examples, "fraud", [Excluded("source", "liar")], None, KEYS))
    assert rebuilt.base is not None
    assert (rebuilt.base.version, rebuilt.learned, rebuilt.excluded) == (2, 35, 5)
    assert (rebuilt.order.examples, rebuilt.order.why) == (75, "rebuilt from fraud@2 without source=liar")


def test_it_may_be_rebuilt_from_another_version_or_from_nothing() -> None:
    examples = outcomes()
    reader, liar = served(versions(examples)), [Excluded("source", "liar")]
    of_one, of_nothing = (now(rebuild(reader, examples, "fraud", liar, start, KEYS)) for start in (1, 0))
    assert of_one.base is not None
    assert (of_one.base.version, of_one.learned) == (1, 55)
    assert (of_nothing.base, of_nothing.learned, of_nothing.order.why) == (
        None,
        75,
        "rebuilt from nothing without source=liar",
    )


@pytest.mark.parametrize(
    ("excluded", "start", "keys", "why"),
    [
        ("source=nobody", None, KEYS, "none of the 80 outcomes in the log has source=nobody"),
        ("event_id=e3", None, KEYS, "say --from 0"),
        ("source=liar", 7, KEYS, "fraud@7 is not kept"),
        ("source=liar", None, KEYS._replace(features_id="g"), "other features"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(excluded: str, start: int | None, keys: Keys, why: str) -> None:
    examples = outcomes()
    with pytest.raises(Refused, match=why):
        now(rebuild(served(versions(examples)), examples, "fraud", [Excluded.parsed(excluded)], start, keys))


def test_the_log_tells_each_outcome_once() -> None:
    log, examples = MemoryLog(), outcomes(4)
    log.append(EXAMPLES, [*examples, examples[1], None, msgspec.structs.replace(examples[2], label=True)])
    assert [(each.event_id, each.label) for each in logged(log)] == [
        ("e0", True),
        ("e1", False),
        ("e2", False),
        ("e3", False),
        ("e2", True),
    ]


@pytest.mark.parametrize("command", [("rollback", "fraud", "--to", "1"), ("rebuild", "fraud", "--exclude", "source=x")])
def test_without_services_the_commands_say_so(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REDIS", "redis://127.0.0.1:1")
    monkeypatch.setattr("streams.kafka_log.TIMEOUT_SECONDS", 0.2)
    monkeypatch.setenv("HEADRACE_KAFKA", "127.0.0.1:1")
    told = CliRunner().invoke(app, ["models", *command])
    assert told.exit_code == 1
    assert told.stderr.strip()
    assert told.exception is None or isinstance(told.exception, SystemExit)
