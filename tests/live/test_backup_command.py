"""What an operator does: replays a decision, backs up, brings back, rebuilds; and workers go on as before."""

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from msgspec.structs import replace
from redis import Redis
from typer.testing import CliRunner, Result

from schemas.records import DAY, AnyRecord
from schemas.results import FraudScore
from schemas.topics import SCORES, TRANSACTIONS
from sinks.analytics import client_for, create_schema
from sinks.serving import score_key
from streams.assembly import fraud_pipeline
from streams.main import app
from streams.publish import publish
from streams.settings import Settings
from streams.simulator import World, simulate
from streams.topic_admin import committed_offsets
from tests.live.workers import Stage, encoded, staged

pytestmark = pytest.mark.live

PATIENCE = 180.0

WORLD = World(customers=40, terminals=25, days=8, fraud_rate=0.05, label_delay_ms=2 * DAY)
CHOSEN = {"pipelines": "fraud", "label_window": "2d", "publish_every": "100", "batch": "200"}
SETTINGS = Settings(throw_away=True, **CHOSEN)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stage(folder: Path) -> Iterator[Stage]:
    """Return a broker and a Redis in which a worker has scored the first half of what happened."""
    with staged(folder, fraud_pipeline(SETTINGS), CHOSEN) as stage:
        live(stage, events()[: len(events()) // 2])
        yield stage


@pytest.fixture(autouse=True)
def environment(stage: Stage, monkeypatch: pytest.MonkeyPatch, clickhouse_url: str) -> Iterator[None]:
    client_for(clickhouse_url).command("CREATE DATABASE IF NOT EXISTS backed_up")
    chosen = {"kafka": stage.broker, "redis": stage.redis, "group": stage.group, "throw_away": "1", **stage.settings}
    for name, value in {**chosen, "clickhouse": f"{clickhouse_url}/backed_up"}.items():
        monkeypatch.setenv(f"HEADRACE_{name.upper()}", value)
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def events() -> list[AnyRecord]:
    return list(simulate(WORLD))


def live(stage: Stage, records: list[AnyRecord]) -> None:
    publish(records, stage.broker)
    with stage.worker() as worker:
        worker.until(stage.caught_up, PATIENCE)
        assert worker.terminate() == 0, worker.log


def ask(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def told(*arguments: object) -> Any:
    result = ask(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def newest(stage: Stage) -> FraudScore:
    return max((SCORES.decode(raw.value) for raw in stage.records(SCORES)), key=lambda score: score.event_time)


def assert_as_replayed(stage: Stage) -> None:
    with stage.journal(SETTINGS) as journal:
        for _ in journal.records():
            pass
    assert stage.states() == encoded(journal.tasks)


def test_a_decision_comes_out_again_and_one_that_was_changed_does_not(stage: Stage) -> None:
    stored = newest(stage)
    found = told("replay-decision", stored.event_id)
    assert (found["identical"], found["differing"]) == (True, {})
    assert found["stored"] == found["computed"]
    assert "identical in every field" in ask("replay-decision", stored.event_id).stdout
    changed = replace(stored, vector=(stored.vector[0], 9.0, *stored.vector[2:]))
    key = score_key("default", stored.event_id)
    with Redis.from_url(stage.redis) as client:
        kept = client.get(key)
        client.set(key, SCORES.encode(changed))
        answer, shown = ask("replay-decision", stored.event_id, "--json"), ask("replay-decision", stored.event_id)
        client.delete(key)
        assert told("replay-decision", stored.event_id)["identical"]
        client.set(key, kept)
    assert (answer.exit_code, shown.exit_code) == (1, 1)
    assert list(json.loads(answer.stdout)["differing"]) == ["vector"]
    assert list(json.loads(answer.stdout)["features"]) == ["weekend"]
    assert "1 fields differ" in shown.stdout


def test_decisions_are_replayed_at_random(stage: Stage) -> None:
    found = told("replay-decision", "--sample", 100)
    assert (found["replayed"], found["identical"], found["differing"]) == (100, 100, 0)
    assert "100 of 100 scores are identical" in ask("replay-decision", "--sample", 100).stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nobody"], "there is no decision 'nobody'"),
        (["nobody", "--ranking"], "there is no decision 'nobody'"),
        (["nobody", "--sample", "3"], "name one"),
        (["--sample", "3", "--from", "."], "leave out --from"),
        (["nobody", "--from", "nowhere"], "no backup in nowhere"),
    ],
)
def test_what_cannot_be_told_has_a_status_of_its_own(stage: Stage, arguments: list[str], why: str) -> None:
    answer = ask("replay-decision", *arguments)
    assert answer.exit_code == 2
    assert why in answer.stderr


def test_a_backup_is_brought_back_and_workers_go_on(stage: Stage, tmp_path: Path) -> None:
    saved = told("backup", tmp_path / "monday", "--only", "redis")
    assert saved["tasks"] > 10
    assert saved["keys"] > 500
    answer = ask("restore", tmp_path / "monday")
    assert (answer.exit_code, "--force" in answer.stderr) == (1, True)
    half = len(events()) // 2
    live(stage, events()[half : half + half // 2])
    states, taken = stage.states(), stage.checkpoints()
    with Redis.from_url(stage.redis) as client:
        client.flushdb()
    done = told("restore", tmp_path / "monday")
    assert (done["keys"], done["commits"] > 0) == (saved["keys"], True)
    assert (stage.states(), stage.checkpoints()) == (states, taken)
    assert told("replay-decision", newest(stage).event_id, "--from", tmp_path)["identical"]
    answer = ask("rebuild", "--yes")
    assert answer.exit_code == 0, answer.stderr
    assert "commits of" in answer.stdout
    assert stage.states() == states
    with stage.worker() as worker:
        publish(events()[half + half // 2 :], stage.broker)
        worker.until(stage.caught_up, PATIENCE)
        assert_refused_while_workers_run(tmp_path)
        assert worker.terminate() == 0, worker.log
    assert_as_replayed(stage)
    scored = [SCORES.decode(raw.value).event_id for raw in stage.records(SCORES)]
    assert sorted(scored) == sorted(record.id for record in events() if record.topic is TRANSACTIONS)


def assert_refused_while_workers_run(folder: Path) -> None:
    refused = [ask("backup", folder / "b"), ask("restore", folder / "monday"), ask("rebuild", "--yes")]
    assert all("workers of group" in answer.stderr for answer in refused)
    assert {answer.exit_code for answer in refused} == {1}
    assert told("backup", folder / "b", "--only", "redis", "--online")["tasks"] > 10


def test_the_sink_reads_on_from_where_the_backup_was_made(stage: Stage, tmp_path: Path) -> None:
    create_schema(client_for(Settings().clickhouse))
    group = f"{stage.group}-analytics"
    commit(stage, group, 5)
    told("backup", tmp_path / "a", "--only", "clickhouse")
    assert "rows of ClickHouse" in ask("backup", tmp_path / "b", "--only", "clickhouse").stdout
    assert "is not empty" in ask("backup", tmp_path / "b").stderr
    commit(stage, group, 9)
    done = told("restore", tmp_path / "a", "--only", "clickhouse")
    assert done["moved"] == group
    assert committed_offsets(stage.broker, group, {SCORES.name: 1}) == {(SCORES.name, 0): 5}
    assert "reads on from" in ask("restore", tmp_path / "a", "--only", "clickhouse").stdout


def commit(stage: Stage, group: str, offset: int) -> None:
    consumer = Consumer({"bootstrap.servers": stage.broker, "group.id": group})
    consumer.commit(offsets=[TopicPartition(SCORES.name, 0, offset)], asynchronous=False)
    consumer.close()
