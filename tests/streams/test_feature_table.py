"""`headrace features` writes what was known at each transaction's time, under the id's own name and type."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from streams.commands.features import features_command
from tests.streams.handbook import handbook_features

EXAMPLES = Path(__file__).parents[2] / "examples"
HANDBOOK = EXAMPLES / "features" / "handbook.yaml"
START = datetime(2026, 3, 2, 12, tzinfo=UTC)

app = typer.Typer()
app.command()(features_command)


def run(file: Path, definitions: Path, out: Path, *options: str) -> str:
    result = CliRunner().invoke(app, [str(file), "--definitions", str(definitions), "--out", str(out), *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(file: Path, definitions: Path, out: Path, *options: str) -> str:
    result = CliRunner().invoke(app, [str(file), "--definitions", str(definitions), "--out", str(out), *options])
    assert result.exit_code == 1
    return " ".join(result.output.split())


def written(folder: Path, name: str, *rows: dict[str, object]) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif name.endswith(".csv"):
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows))
    return path


def definitions(folder: Path, text: str) -> Path:
    path = folder / "features.yaml"
    path.write_text(text)
    return path


def handbook_row(number: int, after: timedelta, fraud: int = 0, **changed: object) -> dict[str, object]:
    row = {
        "TRANSACTION_ID": number,
        "TX_DATETIME": (START + after).replace(tzinfo=None),
        "CUSTOMER_ID": 1,
        "TERMINAL_ID": 2,
        "TX_AMOUNT": 10.5,
        "TX_FRAUD": fraud,
    }
    return row | changed


def payment(event_id: object, after: timedelta = timedelta(), **changed: object) -> dict[str, object]:
    moment = (START + after).isoformat()
    return {"event_id": event_id, "event_time": moment, "user": "ann", "amount": "5.00", "currency": "EUR"} | changed


@pytest.mark.parametrize("name", ["day.parquet", "day.csv", "day.jsonl"])
def test_a_handbook_file_of_any_format_needs_no_mapping(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, name, handbook_row(7, timedelta()), handbook_row(9, timedelta(hours=1), TX_AMOUNT=2.5))
    summary = json.loads(run(file, HANDBOOK, tmp_path / "out.parquet", "--json"))
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["TRANSACTION_ID"].to_pylist() == [7, 9]
    assert table["CUSTOMER_ID_NB_TX_1DAY_WINDOW"].to_pylist() == [1, 2]
    assert table["CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW"].to_pylist() == [10.5, 6.5]
    assert table["TERMINAL_ID_NB_TX_30DAY_WINDOW"].to_pylist() == [0, 0]
    assert summary["rows"] == 2
    assert summary["features"] == 14
    assert summary["late"] == summary["refused"] == 0
    assert summary["out"] == str(tmp_path / "out.parquet")


def test_the_id_keeps_its_name_and_type(tmp_path: Path) -> None:
    small = pa.table({"TRANSACTION_ID": pa.array([1], pa.int32())})
    rest = pa.Table.from_pylist([handbook_row(1, timedelta())]).drop_columns("TRANSACTION_ID")
    file = tmp_path / "small.parquet"
    pq.write_table(rest.append_column(small.schema.field(0), small.column(0)), file)
    run(file, HANDBOOK, tmp_path / "out.parquet")
    assert pq.read_schema(tmp_path / "out.parquet").field("TRANSACTION_ID").type == pa.int32()


@pytest.mark.parametrize(
    ("ids", "kind"), [((1, 20), pa.int64()), (("1", "x-2"), pa.string()), (("01", "2"), pa.string())]
)
def test_ids_of_a_csv_are_whole_numbers_only_where_all_are(
    tmp_path: Path, ids: tuple[object, ...], kind: object
) -> None:
    file = written(tmp_path, "day.csv", *(payment(event_id) for event_id in ids))
    run(file, definitions(tmp_path, "- {name: n}"), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.schema.field("event_id").type == kind
    assert table["event_id"].to_pylist() == list(ids)


def test_a_label_counts_only_once_it_can_be_known(tmp_path: Path) -> None:
    days = (0, 1, 6.99, 7, 8)
    file = written(
        tmp_path, "day.parquet", *(handbook_row(n, timedelta(days=day), int(n == 0)) for n, day in enumerate(days))
    )
    text = (
        "defaults: {entity: terminal, aggregate: sum, of: fraud, window: 30d}\n"
        "features: [{name: now}, {name: delayed, delay: 7d}]"
    )
    run(file, definitions(tmp_path, text), tmp_path / "out.parquet", "--label-delay", "7d")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["now"].to_pylist() == [0, 0, 0, 1, 1]
    assert table["delayed"].to_pylist() == [0, 0, 0, 1, 1]
    run(file, definitions(tmp_path, text), tmp_path / "out.parquet", "--label-delay", "1d")
    assert pq.read_table(tmp_path / "out.parquet")["now"].to_pylist() == [0, 1, 1, 1, 1]


def test_a_feature_without_a_value_is_null(tmp_path: Path) -> None:
    file = written(tmp_path, "day.jsonl", payment("a"), payment("b", timedelta(hours=2), device="phone"))
    text = "- {name: d, entity: device}\n- {name: m, aggregate: mean, of: amount, delay: 1h, empty: .nan}"
    run(file, definitions(tmp_path, text), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["d"].to_pylist() == [None, 1]
    assert table["m"].to_pylist() == [None, 5.0]


def test_other_fields_of_the_file_can_be_aggregated_and_filtered(tmp_path: Path) -> None:
    file = written(tmp_path, "day.jsonl", payment("a", mcc="5411", basket=3), payment("b", mcc="7995", basket=4))
    text = "- {name: s, aggregate: sum, of: basket}\n- {name: w, where: {field: mcc, equals: 7995}}"
    run(file, definitions(tmp_path, text), tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["s"].to_pylist() == [3.0, 7.0]
    assert table["w"].to_pylist() == [0, 1]


def test_exact_and_tiled_features_of_the_card_example_stand_side_by_side(tmp_path: Path) -> None:
    place = {"terminal": "t1", "country": "FR", "latitude": 48.85, "channel": "online"}
    file = written(tmp_path, "day.jsonl", *(payment(f"p{n}", timedelta(minutes=n), **place) for n in range(30)))
    run(file, EXAMPLES / "features" / "card.yaml", tmp_path / "out.parquet")
    last = pq.read_table(tmp_path / "out.parquet").to_pylist()[-1]
    expected = {"payments_10m": 10, "payments_1h": 30, "online_1d": 150.0, "mean_30d": 5.0, "countries_90d": 1}
    expected |= {"payments_ever": 30, "terminal_payments_1h": 30, "terminal_risk_30d": 0.0, "latitude_last": 48.85}
    assert {name: last[name] for name in expected} == expected


def test_a_field_that_no_row_has_is_an_error(tmp_path: Path) -> None:
    file = written(tmp_path, "day.jsonl", payment("a"))
    text = definitions(tmp_path, "- {name: s, aggregate: sum, of: amout}")
    assert "no row of day.jsonl has amout" in refused(file, text, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_rows_that_are_no_transactions_and_those_far_too_late_are_told(tmp_path: Path) -> None:
    rows = payment("a", timedelta(days=9)), payment("b"), payment("c", amount="-1")
    file = written(tmp_path, "day.jsonl", *rows)
    told = run(file, definitions(tmp_path, "- {name: n}"), tmp_path / "out.parquet")
    assert "2 rows of 1 features" in told
    assert "1 came too late to count for others, 1 were no transactions" in " ".join(told.split())


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "day.parquet has no column 'event_id'; it has id"),
        (("--map", "none.yaml"), "none.yaml cannot be read"),
        (("--map", "constant.yaml"), "a table of features needs a column of ids, not a constant"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, "day.parquet", {"id": 1})
    fields = "{event_time: at, user: id, amount: id, currency: id}"
    (tmp_path / "constant.yaml").write_text(f"topic: transactions\nconstants: {{event_id: x}}\nfields: {fields}")
    assert complaint in refused(file, HANDBOOK, tmp_path / "out.parquet", *options)


def test_a_label_delay_is_a_duration(tmp_path: Path) -> None:
    file = written(tmp_path, "day.jsonl", payment("a"))
    options = ("--out", str(tmp_path / "out.parquet"), "--label-delay", "soon")
    result = CliRunner().invoke(app, [str(file), "--definitions", str(HANDBOOK), *options])
    assert result.exit_code == 2
    assert "soon" in result.output


@pytest.mark.data
def test_the_handbook_s_features_are_the_same_in_every_cell(data_folder: Path, tmp_path: Path) -> None:
    everything = pd.read_parquet(data_folder / "card_transactions" / "transactions_2018_04_07.parquet")
    chosen = everything[(everything["CUSTOMER_ID"] < 100) | (everything["TERMINAL_ID"] < 100)]
    chosen.to_parquet(tmp_path / "some.parquet", index=False)
    run(tmp_path / "some.parquet", HANDBOOK, tmp_path / "out.parquet")
    mine = pd.read_parquet(tmp_path / "out.parquet")
    naive = handbook_features(chosen)
    assert len(mine) > 20_000
    pd.testing.assert_frame_equal(mine[list(naive.columns)], naive, check_dtype=False, rtol=1e-9, atol=1e-12)
