"""A training set has what was known at its moment and the vectors as they were served, nothing of what came later."""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from processors import offer_features
from schemas.results import Example, FraudScore
from sinks.analytics import client_for, create_schema
from streams.assembly import fraud_scorer
from streams.main import app
from streams.settings import Settings
from streams.training_set import Asked, NoTrainingSet, write_training_set
from tests.contracts.results import NOON, example, offer_example, ranking, score, slot
from tests.sinks.analysts import DAY, emptied, engine_in, keep

FRAUD = Asked("fraud", "fraud", "f", ("amount", "risk"), NOON + 30 * DAY)
MOMENT = "2018-07-31T12:00:00Z"
OFFERS = Asked("offers", "offers", "offer.1", ("spend", "age"), NOON + 30 * DAY)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with engine_in(tmp_path_factory.mktemp("training")) as client:
        yield client


@pytest.fixture
def client(engine: Any) -> Any:
    return emptied(engine)


def decided(name: str = "e1", at: int = NOON, **changed: Any) -> Any:
    return score(name, **{"event_time": at, "features": "f", "vector": (412.0, None)} | changed)


def known(name: str = "e1", at: int = NOON, after: int = 7, **changed: Any) -> Example:
    return example(name, **{"event_time": at, "matured_at": at + after * DAY} | changed)


def written(client: Any, folder: Path, asked: Asked = FRAUD, **changed: Any) -> list[dict[str, Any]]:
    out = folder / "set.parquet"
    write_training_set(client, replace(asked, **changed), out)
    return list(pa.parquet.read_table(out).to_pylist())


def labels(rows: Sequence[dict[str, Any]]) -> dict[str, bool]:
    return {row["decision"]: row["label"] for row in rows}


def test_a_row_has_the_decision_its_vector_and_its_outcome(client: Any, tmp_path: Path) -> None:
    keep(client, decided(vector=(0.1 + 0.2, None)), known(label=True, source="bank", weight=2.0, version=7, score=0.25))
    (row,) = written(client, tmp_path)
    assert (row.pop("decided_at").timestamp() * 1000, row.pop("matured_at").timestamp() * 1000) == (
        NOON,
        NOON + 7 * DAY,
    )
    assert row == {
        "tenant": "default",
        "decision": "e1",
        "model": "fraud",
        "version": 7,
        "score": 0.25,
        "label": True,
        "source": "bank",
        "weight": 2.0,
        "amount": 0.1 + 0.2,
        "risk": None,
    }


@pytest.mark.parametrize(("late", "expected"), [(0, {"e1": False}), (1, {})])
def test_an_outcome_known_after_the_moment_is_not_there(
    client: Any, tmp_path: Path, late: int, expected: dict[str, bool]
) -> None:
    keep(client, decided(), decided("e2"), known("e1"), known("e2", after=9))
    moment = NOON + 7 * DAY - late
    if expected:
        assert labels(written(client, tmp_path, as_of=moment)) == expected
    else:
        with pytest.raises(
            NoTrainingSet, match=r"no outcome of the model 'fraud' was known at 2018-07-08T11:59:59\.999"
        ):
            written(client, tmp_path, as_of=moment)


@pytest.mark.parametrize(("day", "fraud"), [(7, False), (19, False), (20, True), (30, True)])
def test_a_correction_counts_from_when_it_was_known(client: Any, tmp_path: Path, day: int, fraud: bool) -> None:
    keep(client, decided(), known())
    keep(client, known(after=20, label=True, late=True))
    client.command("OPTIMIZE TABLE labels FINAL")
    assert labels(written(client, tmp_path, as_of=NOON + day * DAY)) == {"e1": fraud}


def test_a_fraud_that_was_disputed_away_is_genuine_from_then_on(client: Any, tmp_path: Path) -> None:
    keep(client, decided(), known(after=3, label=True))
    keep(client, known(after=15, late=True))
    assert labels(written(client, tmp_path, as_of=NOON + 14 * DAY)) == {"e1": True}
    assert labels(written(client, tmp_path)) == {"e1": False}


def test_what_was_delivered_twice_is_one_row(client: Any, tmp_path: Path) -> None:
    for _ in range(2):
        keep(client, decided(), known())
    assert len(written(client, tmp_path)) == 1


def stories(seed: int) -> Iterator[tuple[FraudScore, list[Example]]]:
    """Yield decisions over a hundred days, each with its outcomes: some none, some one, some a corrected one."""
    chance = random.Random(seed)
    for n in range(80):
        at = NOON + chance.randrange(100) * DAY
        name, first, fraud = f"e{n}", chance.randrange(40), chance.random() < 0.3
        said = [known(name, at, first, label=fraud), known(name, at, first + 1 + chance.randrange(40), label=not fraud)]
        yield decided(name, at, vector=(chance.random(), chance.choice((None, 1.5)))), said[: chance.randrange(3)]


def test_it_is_what_a_scan_of_all_that_was_said_gives(client: Any, tmp_path: Path) -> None:
    told = list(stories(seed=1))
    keep(client, *(message for decision, said in told for message in (decision, *said)))
    for as_of, since in ((20, 0), (50, 0), (50, 35), (75, 31), (200, 0), (200, 99)):
        moment, start = NOON + as_of * DAY, NOON + since * DAY
        expected = {}
        for decision, said in told:
            by_then = [each.label for each in said if each.matured_at <= moment]
            if by_then and decision.event_time >= start:
                expected[decision.event_id] = (by_then[-1], decision.vector)
        rows = written(client, tmp_path, as_of=moment, since=start)
        assert {row["decision"]: (row["label"], (row["amount"], row["risk"])) for row in rows} == expected
        assert rows == sorted(rows, key=lambda row: (row["decided_at"], row["decision"]))


def test_a_model_in_the_shadow_has_its_own_scores_on_the_same_vectors(client: Any, tmp_path: Path) -> None:
    keep(client, decided(), known(), known(model="shadow", score=0.125, version=2))
    (row,) = written(client, tmp_path, model="shadow")
    assert (row["model"], row["version"], row["score"], row["amount"]) == ("shadow", 2, 0.125, 412.0)


def test_vectors_of_other_features_are_left_out_and_counted(client: Any, tmp_path: Path) -> None:
    keep(client, decided(), known(), decided("e2", features="g", vector=(1.0,)), known("e2", features="g"))
    told = write_training_set(client, FRAUD, tmp_path / "set.parquet")
    assert (told.rows, told.left_out) == (1, 1)
    with pytest.raises(
        NoTrainingSet, match="of the feature set h, which these settings declare; there are some of f, g"
    ):
        written(client, tmp_path, features="h")
    with pytest.raises(NoTrainingSet, match="than the 3 features"):
        written(client, tmp_path, names=("a", "b", "c"))


def test_a_feature_that_is_called_as_a_column_is_refused(client: Any, tmp_path: Path) -> None:
    with pytest.raises(NoTrainingSet, match="label: a feature has the name of a column"):
        written(client, tmp_path, names=("label", "risk"))


def test_the_file_says_what_it_was_asked_for(client: Any, tmp_path: Path) -> None:
    keep(client, decided(), known())
    heard: list[tuple[int, int]] = []
    write_training_set(client, FRAUD, tmp_path / "new" / "set.parquet", lambda *told: heard.append(told))
    metadata = pa.parquet.read_schema(tmp_path / "new" / "set.parquet").metadata
    assert metadata[b"as_of"] == b"2018-07-31T12:00:00.000+00:00"
    assert (metadata[b"model"], metadata[b"features"]) == (b"fraud", b"f")
    assert heard == [(1, 1)]


def test_an_unfinished_file_is_gone(client: Any, tmp_path: Path) -> None:
    keep(client, decided(), known())
    with pytest.raises(NoTrainingSet):
        written(client, tmp_path, names=("a", "b", "c"))
    assert list(tmp_path.iterdir()) == []


def shown(name: str, at: int = NOON, **changed: Any) -> list[Any]:
    """Return a ranking of coffee above books, shown two days after it was made, and what was earned by then."""
    slots = (slot("coffee", vector=(1.5, None)), slot("books", vector=(2.5, 30.0)))
    told = [
        offer_example(
            f"{name}/{offer}",
            **{"event_time": at + 2 * DAY, "matured_at": at + 9 * DAY, "decision": name, "offer": offer}
            | {"position": position, "label": offer == "books", "policy": "epsilon-greedy"}
            | changed,
        )
        for position, offer in enumerate(("coffee", "books"), 1)
    ]
    return [ranking(name, event_time=at, slots=slots), *told]


def test_offers_have_a_row_for_each_slot_that_was_shown(client: Any, tmp_path: Path) -> None:
    at = NOON + 29 * DAY  # decided in July, shown in the next month
    keep(client, *shown("d1", at), ranking("not shown", event_time=at))
    keep(client, ranking("d1", event_time=at, slots=(slot("coffee"),), policy="logged", shown=True))
    first, second = written(client, tmp_path, OFFERS, as_of=NOON + 60 * DAY)
    assert (first["decision"], first["offer"], first["position"], first["label"]) == ("d1", "coffee", 1, False)
    assert (second["offer"], second["position"], second["label"], second["propensity"]) == ("books", 2, True, 0.9)
    assert [(row["spend"], row["age"]) for row in (first, second)] == [(1.5, None), (2.5, 30.0)]
    assert first["decided_at"].timestamp() * 1000 == at


def test_a_reward_that_came_late_counts_from_when_it_was_known(client: Any, tmp_path: Path) -> None:
    keep(client, *shown("d1"))
    keep(client, *shown("d1", label=True, reward=0.5, late=True, before=0.0, matured_at=NOON + 20 * DAY)[1:])
    client.command("OPTIMIZE TABLE rewards FINAL")
    for day, expected in ((19, [(False, 0.0), (True, 1.0)]), (20, [(True, 0.5), (True, 0.5)])):
        rows = written(client, tmp_path, OFFERS, as_of=NOON + day * DAY)
        assert [(row["label"], row["earned"]) for row in rows] == expected


def export(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["export", "training-set", *arguments])


@pytest.fixture
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_FOLDER", str(tmp_path / "services"))
    monkeypatch.delenv("HEADRACE_CLICKHOUSE", raising=False)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("wrong", ["yesterday", "2026-01-31T12:00:00", "31.01.2026"])
def test_a_moment_that_is_none_is_refused_with_an_example(tmp_path: Path, wrong: str) -> None:
    told = export(str(tmp_path / "set.parquet"), "--as-of", wrong)
    assert told.exit_code == 2
    assert "is no time of RFC 3339" in " ".join(told.stderr.replace("│", " ").split())


@pytest.mark.usefixtures("nothing_runs")
def test_a_clickhouse_that_is_away_is_named(tmp_path: Path) -> None:
    told = export(str(tmp_path / "set.parquet"), "--as-of", MOMENT, "--clickhouse", "http://127.0.0.1:1")
    assert told.exit_code == 1
    assert "ClickHouse" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.live
@pytest.mark.usefixtures("nothing_runs")
def test_the_command_writes_what_rests_in_clickhouse(clickhouse_url: str, tmp_path: Path) -> None:
    address, out, scorer = f"{clickhouse_url}/training", tmp_path / "set.parquet", fraud_scorer(Settings())
    server = client_for(clickhouse_url)
    server.command("CREATE DATABASE training")
    client = client_for(address)
    create_schema(client)
    served = tuple(n / 7 for n in range(len(scorer.names)))
    for n in range(3):
        keep(client, decided(f"e{n}", vector=served, features=scorer.features_id))
        keep(client, known(f"e{n}", features=scorer.features_id, label=n == 0))
    empty = export(str(out), "--of", "offers", "--as-of", MOMENT, "--clickhouse", address)
    assert empty.exit_code == 1
    assert "no outcome of the model 'offers' was known at 2018-07-31T12:00:00.000+00:00" in empty.stderr
    told = json.loads(export(str(out), "--as-of", MOMENT, "--clickhouse", address, "--json").stdout)
    assert (told["rows"], told["positives"], told["left_out"]) == (3, 1, 0)
    table = pa.parquet.read_table(out).select(scorer.names)
    assert [tuple(row.values()) for row in table.to_pylist()] == [served] * 3
    (tmp_path / "file").write_text("")
    unwritable = export(str(tmp_path / "file" / "set.parquet"), "--as-of", MOMENT, "--clickhouse", address)
    assert unwritable.exit_code == 1
    assert "file" in unwritable.stderr
    said = export(str(out), "--as-of", MOMENT, "--from", "2018-07-01T14:00:00+02:00", "--clickhouse", address).stdout
    assert "3 decisions, 1 of them fraud" in said


def test_the_names_of_offers_are_those_of_their_vectors(client: Any, tmp_path: Path) -> None:
    named = replace(OFFERS, features=offer_features.FEATURES_ID, names=offer_features.NAMES)
    vector = tuple(float(n) for n in range(len(offer_features.NAMES)))
    slots, features = (slot("coffee", vector=vector),), offer_features.FEATURES_ID
    keep(client, ranking("d1", slots=slots, features=features))
    keep(client, offer_example("d1", features=features, decision="d1", policy="epsilon-greedy"))
    (row,) = written(client, tmp_path, named)
    assert tuple(row[name] for name in offer_features.NAMES) == vector
