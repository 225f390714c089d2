"""History that was replayed is as if it had been lived: workers go on from it, and nothing counts twice."""

import json
import os
import subprocess
import sys
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from redis import Redis

from schemas.records import DAY, AnyRecord
from schemas.results import FraudScore
from schemas.topics import ALL, CARD_FEATURES, EXAMPLES, FEEDBACK, MODELS, SCORES, TRANSACTIONS
from sinks.serving import score_key
from streams.assembly import customer_features, fraud_pipeline
from streams.backfill import PartitionedReplay
from streams.partitioning import partition_of
from streams.publish import publish
from streams.settings import Settings
from streams.simulator import World, simulate
from tests.live.workers import ROOT, Stage, closing_log, staged

pytestmark = pytest.mark.live

WORLD = World(customers=165, terminals=90, days=12, fraud_rate=0.02, label_delay_ms=2 * DAY, early_verdicts=0.0)
CHOSEN = {"label_window": "2d", "publish_every": "100", "batch": "200", "lateness": "1d"}
SETTINGS = Settings(throw_away=True, **CHOSEN)  # type: ignore[arg-type]
MAPPING = """
topic: transactions
fields: {event_id: event_id, user: user, terminal: terminal, card: card, device: device, merchant: merchant, mcc: mcc,
  country: country, channel: channel, latitude: latitude, longitude: longitude, amount: amount, event_time: event_time,
  currency: currency}
label: {column: fraud}
"""


@cache
def events() -> list[AnyRecord]:
    return list(simulate(WORLD))


def payments() -> list[AnyRecord]:
    return [record for record in events() if record.topic is TRANSACTIONS]


@cache
def end_of_history() -> int:
    """Return when history ends: late in the world, as the longest time without a label begins."""
    labels = [record.time for record in events() if record.topic is FEEDBACK]
    begin = payments()[0].time
    silences = [(till - since, since) for since, till in pairwise(labels) if 7 * DAY < since - begin < 10 * DAY]
    # The last label comes before a payment of history: one that is known only after it is for workers to hear.
    return next(record.time for record in payments() if record.time > max(silences)[1]) + 1


@cache
def lived_through() -> dict[str, FraudScore]:
    """Return the score of each payment in a pass that was never interrupted."""
    engine = PartitionedReplay(fraud_pipeline(SETTINGS), {topic.name: topic.partitions for topic in ALL})
    said = [each.message for record in events() for _, each in engine.step(record) if each.topic is SCORES]
    return {score.event_id: SCORES.decode(SCORES.encode(score)) for score in said}


@pytest.fixture
def stage(folder: Path) -> Iterator[Stage]:
    with staged(folder, fraud_pipeline(SETTINGS), CHOSEN) as stage:
        yield stage


@pytest.fixture(scope="module")
def history(folder: Path) -> list[str]:
    """Write the payments before its end, with which of them were fraud, and return the arguments that name them."""
    frauds = {record.message.about for record in events() if record.topic is FEEDBACK}
    path, mapping = folder / "history.jsonl", folder / "history.yaml"
    with path.open("wb") as file:
        for record in payments():
            if record.time < end_of_history():
                row = orjson.loads(TRANSACTIONS.encode(record.message))
                file.write(orjson.dumps(row | {"fraud": int(record.id in frauds)}) + b"\n")
    mapping.write_text(MAPPING)
    return [str(path), "--map", str(mapping), "--label-delay", "2d", "--json"]


def replay(stage: Stage, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {
        "HEADRACE_KAFKA": stage.broker,
        "HEADRACE_REDIS": stage.redis,
        "HEADRACE_GROUP": stage.group,
        "HEADRACE_THROW_AWAY": "1",
        **{f"HEADRACE_{name.upper()}": value for name, value in stage.settings.items()},
    }
    command = [sys.executable, "-m", "streams", "replay", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def scores(stage: Stage) -> list[FraudScore]:
    return [SCORES.decode(stored.value) for stored in stage.records(SCORES)]


def test_a_worker_goes_on_from_history_and_counts_nothing_twice(stage: Stage, history: list[str]) -> None:
    end = end_of_history()
    next_label = min(record.time for record in events() if record.topic is FEEDBACK and record.time >= end)
    first = [record for record in events() if record.time < next_label]
    publish(first, stage.broker)
    done = replay(stage, history)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["events"] == summary["scores"] == sum(record.time < end for record in payments())
    assert stage.count(SCORES) == 0
    with stage.worker() as worker:
        worker.until(stage.caught_up)
        assert_as_if_lived_through(scores(stage))
        publish(events()[len(first) :], stage.broker)
        worker.until(stage.caught_up)
        assert worker.terminate() == 0, worker.log
    scored = [score.event_id for score in scores(stage)]
    assert sorted(scored) == sorted(record.id for record in payments() if record.time >= end)


def assert_as_if_lived_through(found: Sequence[FraudScore]) -> None:
    """Assert that payments right after history got the score they get without a break."""
    known = len(customer_features(SETTINGS).names)
    visits = Tally(score.terminal for score in found)
    assert len(found) > 10
    for score in found:
        expected = lived_through()[score.event_id]
        assert score.vector[:known] == expected.vector[:known]
        # Payments of several customers may reach a terminal they share in another order.
        if visits[score.terminal] == 1:
            assert score.vector == expected.vector
            assert (score.version, score.score) == (expected.version, expected.score)
    assert {score.source for score in found} == {"model"}


def test_results_of_history_are_served_and_its_model_is_on_its_topic(stage: Stage, history: list[str]) -> None:
    summary = json.loads(replay(stage, history).stdout)
    newest = max((record for record in payments() if record.time < end_of_history()), key=lambda record: record.time)
    with Redis.from_url(stage.redis) as client:
        served = SCORES.decode(client.get(score_key("default", newest.id)))
    assert served.vector == lived_through()[newest.id].vector
    (version,) = stage.records(MODELS)
    assert (MODELS.decode(version.value).model, summary["models"]) == ("fraud", 1)
    assert summary["states"] == sum(map(len, stage.states().values()))
    live = ("transactions", "feedback", "model-orders")
    assert summary["live_from"] == {name: dict.fromkeys("0123", 0) for name in live}


def test_earlier_state_is_replaced_only_when_asked_to(stage: Stage, history: list[str]) -> None:
    assert replay(stage, history).returncode == 0
    before = stage.states()
    refused = replay(stage, history)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    with Redis.from_url(stage.redis) as client:
        assert not client.exists("hr:backfill")
        client.set("hr:{features/0}:state:nobody", b"")
    forced = replay(stage, [*history, "--force"])
    assert forced.returncode == 0, forced.stderr
    assert "replacing" in forced.stderr
    assert stage.states() == before


def test_outputs_are_produced_only_when_asked_to(stage: Stage, history: list[str]) -> None:
    assert replay(stage, history).returncode == 0
    assert stage.count(SCORES) == stage.count(EXAMPLES) == 0
    summary = json.loads(replay(stage, [*history, "--force", "--publish-outputs"]).stdout)
    assert stage.count(SCORES) == summary["scores"]
    assert stage.count(EXAMPLES) > 0
    assert stage.count(CARD_FEATURES) == 0
    assert stage.checkpoints()["outcomes/0"]["scores", 0] == stage.ends([SCORES])["scores", 0]


def test_replay_refuses_while_a_worker_runs(stage: Stage, history: list[str]) -> None:
    with stage.worker() as worker:
        worker.until(lambda: bool(stage.checkpoints()))
        refused = replay(stage, history)
        assert refused.returncode == 1
        assert "stop them first" in refused.stderr


def test_keys_go_where_producers_send_them(stage: Stage) -> None:
    producer = Producer({"bootstrap.servers": stage.broker, "partitioner": "murmur2_random"})
    keys = [f"{'k' * (n % 9)}{n}é" for n in range(200)]
    for key in keys:
        producer.produce(TRANSACTIONS.name, b"", key.encode())
    assert producer.flush(30) == 0
    with closing_log(stage.broker) as log:
        found = {
            (stored.key or b"").decode(): partition
            for partition, end in log.ends(TRANSACTIONS.name).items()
            for stored in log.read(TRANSACTIONS.name, partition, 0, end - 1)
        }
    assert found == {key: partition_of(key, TRANSACTIONS.partitions) for key in keys}


def test_what_cannot_be_replayed_is_told_and_changes_nothing(stage: Stage, folder: Path, history: list[str]) -> None:
    empty, broken = folder / "empty.jsonl", folder / "broken.jsonl"
    empty.write_bytes(b"")
    broken.write_bytes(b'{"event_id": "tx-1"}\n')
    cases = {
        "no transactions": [str(empty)],
        "row 0": [str(broken)],
        "--label-delay needs": [str(empty), "--label-delay", "7d"],
        "is no duration": [*history[:3], "--label-delay", "soon"],
    }
    for told, arguments in cases.items():
        refused = replay(stage, arguments)
        assert refused.returncode != 0
        assert told in refused.stderr
    assert stage.checkpoints() == {}


def test_a_person_is_told_what_came_of_it(stage: Stage, history: list[str]) -> None:
    done = replay(stage, history[:-1])
    assert "transactions: 0@0, 1@0, 2@0, 3@0" in done.stdout
