"""A score is explained by what it was made from, and the same comes out of it again."""

import json
from collections.abc import Iterator
from math import exp
from typing import NamedTuple

import msgspec
import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from schemas.privacy import Tokeniser
from schemas.records import DAY, AnyRecord, Record
from schemas.results import FraudScore, ModelVersion
from schemas.topics import MODELS, SCORES
from sinks.serving import apply, serve
from streams.assembly import fraud_pipeline, fraud_scorer
from streams.demo import demo_world, first, simulated
from streams.explanation import Unexplained, explained
from streams.main import app
from streams.replay import replay
from streams.settings import Settings

PAYMENTS = 2_700


class Run(NamedTuple):
    by_rules: FraudScore
    by_model: FraudScore
    version: ModelVersion


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(label_window=DAY)


@pytest.fixture(scope="module")
def run(settings: Settings) -> Run:
    payments = first(PAYMENTS, simulated(demo_world(PAYMENTS, 1), Tokeniser({"1": b"key"})))
    said = list(replay(fraud_pipeline(settings), payments))
    scores = [record.message for record in said if record.topic is SCORES]
    versions = {record.message.version: record.message for record in said if record.topic is MODELS}
    return Run(scores[-PAYMENTS // 2], scores[-1], versions[scores[-1].version])


@pytest.fixture
def served(run: Run, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Redis]:
    url = redis_url.removesuffix("/0") + "/9"
    monkeypatch.setenv("HEADRACE_REDIS", url)
    monkeypatch.setenv("HEADRACE_LABEL_WINDOW", "1d")
    with Redis.from_url(url) as client:
        client.flushdb()
        for topic, message in ((SCORES, run.by_rules), (SCORES, run.by_model), (MODELS, run.version)):
            put(client, Record(topic, message, message.event_id))
        yield client
        client.flushdb()


def put(client: Redis, record: AnyRecord) -> None:
    apply(client, serve(record, record.topic.encode(record.message)))


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def test_the_contributions_add_up_to_the_score(settings: Settings, run: Run) -> None:
    found = explained(fraud_scorer(settings), run.by_model, run.version)
    log_odds = run.by_model.intercept + sum(each.contribution or 0.0 for each in found.features)
    assert 1 / (1 + exp(-log_odds)) == pytest.approx(run.by_model.score, rel=1e-9)
    assert [each.name for each in found.features] == list(fraud_scorer(settings).names)


def test_every_feature_has_the_age_of_its_source(settings: Settings, run: Run) -> None:
    found = {each.name: each for each in explained(fraud_scorer(settings), run.by_model, run.version).features}
    assert found["amount"].age_ms == run.by_model.ages["customer"]
    assert found["terminal_cusum"].age_ms == run.by_model.ages["terminal"]


def test_a_payment_older_than_its_terminals_newest_comes_out_again_too(settings: Settings, run: Run) -> None:
    overtaken = msgspec.structs.replace(run.by_rules, ages=run.by_rules.ages | {"terminal": -5_000})
    assert explained(fraud_scorer(settings), overtaken, None).differing == ()


def test_a_score_of_other_features_is_not_explained(settings: Settings, run: Run) -> None:
    other = msgspec.structs.replace(run.by_model, features="another")
    with pytest.raises(Unexplained, match="feature set another"):
        explained(fraud_scorer(settings), other, run.version)


@pytest.mark.live
@pytest.mark.parametrize("made_by", ["by_model", "by_rules"])
def test_the_same_score_comes_out_again_to_the_last_bit(served: Redis, run: Run, made_by: str) -> None:
    score: FraudScore = getattr(run, made_by)
    told = ask("explain", score.event_id, "--json")
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["identical"], found["differing"]) == (True, {})
    assert found["score"]["score"] == score.score
    assert len(found["features"]) == len(score.vector)
    assert "identical" in ask("explain", score.event_id).stdout


@pytest.mark.live
def test_a_score_that_was_changed_is_told_apart(served: Redis, run: Run) -> None:
    changed = msgspec.structs.replace(run.by_model, event_id="changed", score=run.by_model.score + 1e-15)
    put(served, Record(SCORES, changed, "changed"))
    told = ask("explain", "changed", "--json")
    assert told.exit_code == 1
    assert list(json.loads(told.stdout)["differing"]) == ["score"]
    assert "it differs" in ask("explain", "changed").stdout


@pytest.mark.live
def test_people_see_features_reasons_and_where_the_payment_was_read(served: Redis, run: Run) -> None:
    told = ask("explain", run.by_model.event_id).stdout
    wanted = ("amount", "terminal_cusum", f"fraud@{run.version.version}", f"offset {run.by_model.input_offset}")
    assert all(word in told for word in wanted)


@pytest.mark.live
def test_what_is_not_kept_is_said(served: Redis, run: Run) -> None:
    assert "no score of event 'unknown'" in ask("explain", "unknown").stderr
    served.delete(f"hr:default:models:fraud:{run.version.version}")
    told = ask("explain", run.by_model.event_id)
    assert told.exit_code == 1
    assert "no longer kept" in told.stderr


@pytest.mark.live
def test_a_model_of_another_secret_explains_nothing(served: Redis, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_SECRET", "another")
    told = ask("explain", run.by_model.event_id)
    assert told.exit_code == 1
    assert "not signed with this secret" in told.stderr


@pytest.mark.live
def test_the_newest_versions_of_the_models_are_listed(served: Redis, run: Run) -> None:
    [found] = json.loads(ask("models", "list", "--json").stdout)
    assert (found["model"], found["version"], found["blob"]) == ("fraud", run.version.version, "")
    assert f"fraud@{run.version.version}" in ask("models", "list").stdout
    served.flushdb()
    assert "no model has been published yet" in ask("models", "list").stdout


def test_without_redis_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_REDIS", "redis://127.0.0.1:1")
    assert "Redis" in ask("explain", "e1").stderr
    assert "Redis" in ask("models", "list").stderr
