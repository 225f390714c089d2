"""`headrace evaluate fraud`: figures for a person or a program, and the vectors behind them for other models."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from streams.assembly import fraud_scorer
from streams.main import app
from streams.settings import Settings

MAPPING = """
topic: transactions
fields:
  event_id: id
  event_time: {column: time, time: {zone: UTC}}
  user: customer
  terminal: terminal
  amount: amount
constants: {currency: EUR}
label: {column: fraud}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "map.yaml").write_text(MAPPING)
    rows = [
        f"{day}-{customer},2018-04-{day:02} 10:{customer:02}:00,c{customer},t{customer},"
        f"{900 if customer == day else 20}.50,{int(customer == day)}"
        for day in range(1, 29)
        for customer in range(29)
    ]
    (folder / "april.csv").write_text("id,time,customer,terminal,amount,fraud\n" + "\n".join(rows) + "\n")
    return folder


def evaluate(folder: Path, *options: str) -> Result:
    file, mapping = str(folder / "april.csv"), str(folder / "map.yaml")
    return CliRunner().invoke(app, ["evaluate", "fraud", file, "--map", mapping, *options])


def test_figures_are_one_object(folder: Path) -> None:
    found = json.loads(evaluate(folder, "--test-from", "2018-04-15", "--test-days", "3", "--json").stdout)
    assert found["frauds"] == 3
    assert {"n", "auc", "average_precision", "card_precision_100", "events_per_second", "model"} <= set(found)


def test_figures_are_a_table_for_a_person(folder: Path) -> None:
    told = evaluate(folder, "--test-from", "2018-04-15", "--test-days", "14", "--by-week")
    assert "14 days from 2018-04-15" in told.stdout
    assert "average_precision" in told.stdout
    assert "weeks" not in told.stdout


def test_vectors_hold_every_score_with_what_it_was_made_from(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "vectors.parquet"
    assert not evaluate(folder, "--test-from", "2018-04-28", "--test-days", "1", "--vectors", str(out)).exit_code
    table = pyarrow.parquet.read_table(out)
    names = fraud_scorer(Settings()).names
    assert tuple(table.column_names) == ("event_id", "event_time", "customer", *names, "label", "score")
    assert table.num_rows == 28 * 29
    assert sum(table["label"].to_pylist()) == 28
    assert table["amount"].to_pylist()[1] == 900.50
    assert [path.name for path in out.parent.iterdir()] == ["vectors.parquet"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--test-from", "2019-01-01"], "no transactions to score from 2019-01-01"),
        (["--test-from", "2018-04-15", "--test-days", "9", "--by-week"], "9 days are no whole weeks"),
        (["--test-from", "2018-04-15", "--model", "oracle"], "oracle"),
    ],
)
def test_what_cannot_be_judged_is_said_plainly(folder: Path, options: list[str], said: str) -> None:
    told = evaluate(folder, *options)
    assert told.exit_code in (1, 2)
    assert said in told.stderr


def test_a_pass_that_fails_leaves_no_vectors(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "vectors.parquet"
    evaluate(folder, "--test-from", "2019-01-01", "--vectors", str(out))
    assert list(tmp_path.iterdir()) == []
