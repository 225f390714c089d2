"""The pace of publishing, and what is said when nobody is there to publish to."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from schemas.topics import MODELS, OFFERS, SCORES, TRANSACTIONS
from streams.commands import topics
from streams.commands.publish import publish_command
from streams.publish import Pace
from streams.topic_admin import KafkaAway, configuration, list_topics

NOBODY = "127.0.0.1:1"
publishing = typer.Typer()
publishing.command()(publish_command)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.topic_admin.TIMEOUT_SECONDS", 0.2)


@pytest.mark.parametrize(
    ("pace", "due"),
    [(Pace(), 0.0), (Pace(rate=50), 2.0), (Pace(speedup=100), 36.0), (Pace(50, 100), 36.0), (Pace(2, 7_200), 50.0)],
)
def test_a_record_is_due_by_rate_and_by_event_time_whichever_is_later(pace: Pace, due: float) -> None:
    assert pace.due(100, 3_600_000) == due


def test_topics_are_kept_as_declared() -> None:
    assert configuration(TRANSACTIONS, 1) == {"cleanup.policy": "delete", "retention.ms": str(30 * 86_400_000)}
    assert configuration(OFFERS, 1) == {"cleanup.policy": "compact", "min.compaction.lag.ms": str(7 * 86_400_000)}
    assert configuration(MODELS, 1) == {"cleanup.policy": "compact", "max.message.bytes": str(32 * 1024 * 1024)}
    assert configuration(SCORES, 3)["min.insync.replicas"] == "2"


def test_a_broker_that_is_away_is_named() -> None:
    with pytest.raises(KafkaAway, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        list_topics(NOBODY)


@pytest.mark.parametrize("command", ["list", "create"])
def test_the_topics_command_says_that_the_broker_is_away(command: str) -> None:
    told = CliRunner().invoke(topics.commands, [command, "--kafka", NOBODY])
    assert told.exit_code == 1
    assert "no Kafka broker answers" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--as", "scores"], "'scores' is not published by apps: choose transactions, clicks"),
        (["--as", "clicks", "--label-delay", "soon"], "'soon' is no duration"),
        (["--as", "clicks", "--label-delay", "7d"], "needs a --map"),
        (["--as", "clicks", "--map", "none.yaml"], "none.yaml cannot be read"),
        (["--as", "clicks"], "no Kafka broker answers"),
    ],
)
def test_what_cannot_be_published_is_said(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"event_id": "a"}))
    told = CliRunner().invoke(publishing, [str(file), *arguments, "--kafka", NOBODY])
    assert told.exit_code == 1
    assert complaint in told.stderr
