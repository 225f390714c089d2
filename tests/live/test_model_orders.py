"""A running worker's model goes back to an earlier version, and is taught anew without some outcomes, by command."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.results import ModelVersion
from schemas.topics import EXAMPLES, MODEL_ORDERS, MODELS
from streams.assembly import fraud_pipeline
from streams.main import app
from streams.publish import publish
from streams.settings import Settings
from streams.simulator import World, simulate
from tests.live.workers import Stage, staged

pytestmark = pytest.mark.live

WORLD = World(customers=40, terminals=20, days=8, fraud_rate=0.05, label_delay_ms=2 * 86_400_000)
CHOSEN = {"label_window": "2d", "publish_every": "100", "model": "logistic", "pipelines": "fraud"}
SETTINGS = Settings(throw_away=True, **CHOSEN)  # type: ignore[arg-type]


@pytest.fixture
def stage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    with staged(folder, fraud_pipeline(SETTINGS), CHOSEN) as stage:
        monkeypatch.setenv("HEADRACE_KAFKA", stage.broker)
        monkeypatch.setenv("HEADRACE_REDIS", stage.redis)
        for name, value in CHOSEN.items():
            monkeypatch.setenv(f"HEADRACE_{name.upper()}", value)
        yield stage


def told(*command: str) -> Any:
    answer = CliRunner().invoke(app, ["models", *command, "--json"])
    assert answer.exit_code == 0, answer.stderr
    return json.loads(answer.stdout)


def published(stage: Stage, version: int) -> ModelVersion:
    versions = (MODELS.decode(each.value) for each in stage.records(MODELS))
    return next(each for each in versions if each.version == version)


def test_a_model_is_put_back_and_rebuilt_while_its_worker_runs(stage: Stage) -> None:
    publish(simulate(WORLD), stage.broker)
    with stage.worker() as worker:
        worker.until(stage.caught_up)
        (newest,) = told("list")
        assert newest["version"] > 2
        back = told("rollback", "fraud", "--to", "2")
        assert (back["version"], back["examples"]) == (newest["version"] + 1, published(stage, 2).examples)
        assert back["why"] == f"back from fraud@{newest['version']} to fraud@2"
        outcomes = [EXAMPLES.decode(each.value) for each in stage.records(EXAMPLES)]
        user = outcomes[0].user
        rebuilt = told("rebuild", "fraud", "--exclude", f"user={user}", "--from", "0")
        left = [each for each in outcomes if each.user != user]
        assert (rebuilt["from"], rebuilt["learned"], rebuilt["excluded"]) == (
            None,
            len(left),
            len(outcomes) - len(left),
        )
        assert rebuilt["version"]["version"] == newest["version"] + 2
        (now,) = told("list")
        assert (now["version"], now["examples"], now["order"]) == (
            newest["version"] + 2,
            len(left),
            rebuilt["version"]["order"],
        )
        assert worker.terminate() == 0, worker.log
    assert [MODEL_ORDERS.decode(each.value).model for each in stage.records(MODEL_ORDERS)] == ["fraud", "fraud"]
    with stage.journal(SETTINGS) as journal:
        replayed = {each.id: each.topic.encode(each.message) for each in journal.records()}
    said = stage.said([MODELS])
    assert said == {id_: each for id_, each in replayed.items() if id_ in said}


def test_without_a_worker_the_order_waits_and_the_command_says_so(stage: Stage) -> None:
    publish(simulate(WORLD), stage.broker)
    with stage.worker() as worker:
        worker.until(stage.caught_up)
        assert worker.terminate() == 0, worker.log
    answer = CliRunner().invoke(app, ["models", "rollback", "fraud", "--to", "2", "--patience", "0.3"])
    assert answer.exit_code == 1
    assert "no worker has obeyed it in 0.3 s: is one running?" in answer.stderr
    (before,) = told("list")
    with stage.worker() as worker:
        worker.until(stage.caught_up)
        assert worker.terminate() == 0, worker.log
    (after,) = told("list")
    assert (after["version"], after["examples"]) == (before["version"] + 1, published(stage, 2).examples)
