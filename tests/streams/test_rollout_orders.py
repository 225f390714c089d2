"""A trial is ended from the command line: who, when and why is in what the worker says of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from processors.rollout import OfferRollout
from processors.trial import Trial
from schemas.records import Record
from schemas.rollout_results import Rollout, RolloutOrder
from schemas.rollout_topics import ROLLOUT_ORDERS, ROLLOUTS
from streams.commands import rollout as commands
from streams.main import app
from streams.model_orders import Refused
from streams.rollout_orders import End, give, ordered, stands
from streams.task import Task
from tests.contracts.results import rollout
from tests.streams.memory_log import MemoryLog

TRIAL = Trial("epsilon-greedy", "thompson", 0.1)


class ClosingLog(MemoryLog):
    """A log in memory that is closed like Kafka's."""

    def close(self) -> None:
        """Keep all: there is nothing to close."""


def stand(number: int, **changed: Any) -> Rollout:
    return rollout(number, trial=TRIAL.name, **changed)


def logged(*stands_: Rollout) -> ClosingLog:
    log = ClosingLog()
    log.append(ROLLOUTS, stands_, partition=2)
    return log


def worker(log: MemoryLog) -> Callable[[Record[RolloutOrder]], None]:
    """Return what publishes an order to a worker that obeys at once."""
    task = Task(OfferRollout(TRIAL), {}, {})

    def publish(record: Record[RolloutOrder]) -> None:
        said = task.step(Record(ROLLOUT_ORDERS, record.message, record.id))
        log.append(ROLLOUTS, [each.message for each in said], partition=2)

    return publish


def order(found: Rollout | None, trial: str | None = None, end: End = "promoted") -> RolloutOrder:
    return ordered(found, "offers", trial, end, "ann", "it sells more")


def test_the_newest_word_on_each_model_counts() -> None:
    log = logged(stand(1), rollout(7, "others"), stand(2))
    log.append(ROLLOUTS, [b"not json"], partition=2)
    assert {model: each.event_id for model, each in stands(log).items()} == {"offers": "offers@2", "others": "others@7"}


def test_an_order_is_about_the_trial_that_runs_and_stands_among_its_outcomes() -> None:
    made = order(stand(4))
    assert (made.trial, made.event_time, made.by, made.why) == (TRIAL.name, stand(4).event_time, "ann", "it sells more")
    assert made.given_at > made.event_time


def test_before_the_first_outcome_the_settings_tell_the_trial() -> None:
    made = order(None, TRIAL.name)
    assert (made.trial, made.event_time) == (TRIAL.name, made.given_at)


def test_how_an_earlier_trial_ended_is_no_reason_to_refuse() -> None:
    before = rollout(9, trial="epsilon-greedy/softmax/0.1/0", state="promoted")
    assert order(before, TRIAL.name).trial == TRIAL.name


def test_an_order_that_nothing_can_come_of_is_refused() -> None:
    with pytest.raises(Refused, match="set HEADRACE_CHALLENGER_POLICY"):
        order(None)
    with pytest.raises(Refused, match="is rolled back already, by bob: too dear"):
        order(stand(3, state="rolled_back", by="bob", why="too dear"), end="rolled_back")


def test_giving_an_order_returns_how_the_trial_stands_by_it() -> None:
    log = logged(stand(1))
    given = order(stand(1))
    found = give(log, given, worker(log), seconds=5.0)
    assert (found.state, found.by, found.why, found.decided_at) == ("promoted", "ann", "it sells more", given.given_at)
    assert stands(log)["offers"] == found


def test_an_order_that_nobody_obeys_is_told() -> None:
    with pytest.raises(Refused, match=r"no worker has obeyed it in 0.01 s"):
        give(logged(), order(stand(1)), lambda _: None, seconds=0.01)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> ClosingLog:
    """Return the log that commands read, with a worker behind it."""
    kept = logged()
    obeys = worker(kept)
    monkeypatch.setenv("HEADRACE_CHALLENGER_POLICY", "thompson")
    monkeypatch.setattr(commands, "KafkaLog", lambda _: kept)
    monkeypatch.setattr(commands, "publish", lambda records, _: [obeys(each) for each in records])
    return kept


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["rollout", *arguments])


def test_the_commands_end_a_trial_and_show_it(log: ClosingLog) -> None:
    assert "no trial has had an outcome yet" in run("status").output
    ended = json.loads(run("rollback", "--why", "too dear", "--json").stdout)
    assert (ended["state"], ended["why"], ended["trial"]) == ("rolled_back", "too dear", TRIAL.name)
    assert json.loads(run("status", "--json").stdout) == [ended]
    shown = run("promote", "--why", "after all").output
    assert "promoted" in shown
    log.append(ROLLOUTS, [stand(3)], partition=2)
    assert "running" in run("status").output


def test_what_is_refused_is_told_plainly(log: ClosingLog) -> None:
    assert run("rollback", "--why", "too dear").exit_code == 0
    refused = run("rollback", "--why", "too dear")
    assert refused.exit_code == 1
    assert "is rolled back already" in refused.stderr
