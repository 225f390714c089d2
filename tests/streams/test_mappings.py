"""Somebody's files become records: cleaned, exact, in order, and followed by their labels."""

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from schemas.errors import BadMessage
from schemas.privacy import Tokeniser
from schemas.records import DAY, AnyRecord
from schemas.topics import CLICKS, FEEDBACK, TRANSACTIONS
from streams.files import UnreadableFile, kind, read
from streams.mappings import Mapping, MappingError, records

EXAMPLES = Path(__file__).parents[2] / "examples" / "mappings"
PLAIN: dict[str, Any] = {
    "topic": "transactions",
    "fields": {
        "event_id": "id",
        "event_time": {"column": "when", "time": {"zone": "UTC"}},
        "user": "who",
        "amount": "paid",
    },
    "constants": {"currency": "EUR"},
    "label": {"column": "bad"},
}
ROWS = [
    {"id": 1, "when": "2026-01-01T00:00:00", "who": "a", "paid": "1.50", "bad": 1},
    {"id": 2, "when": "2026-01-02T00:00:00", "who": "b", "paid": "2.50", "bad": 0},
    {"id": 3, "when": "2026-01-02T00:00:00", "who": "a", "paid": "3.50", "bad": 0},
]


@pytest.fixture
def mapped(tmp_path: Path) -> Callable[..., Mapping]:
    """Return a mapping loaded from YAML: the plain one with some keys replaced."""

    def load(**changes: Any) -> Mapping:
        path = tmp_path / "mapping.yaml"
        path.write_text(yaml.safe_dump(PLAIN | changes))
        return Mapping.load(path)

    return load


def lines(folder: Path, rows: list[Any]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def csv(folder: Path, rows: list[dict[str, Any]], name: str = "rows.csv") -> Path:
    text = "\n".join([",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]) + "\n"
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def parquet(folder: Path, columns: dict[str, Any]) -> Path:
    path = folder / "rows.parquet"
    pa.parquet.write_table(pa.table(columns), path)
    return path


def ids(found: list[AnyRecord]) -> list[str]:
    return [record.id for record in found]


def cleaned(folder: Path, load: Callable[..., Mapping], source: dict[str, Any], value: Any) -> Any:
    """Return what a field `note` becomes from one value of a column."""
    fields = PLAIN["fields"] | {"note": {"column": "note", **source}}
    path = lines(folder, [ROWS[0] | {"note": value}])
    (record,) = records(path, TRANSACTIONS, load(fields=fields))
    return record.message.model_extra.get("note")


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.jsonl"])
def test_every_sort_of_file_says_the_same(tmp_path: Path, mapped: Callable[..., Mapping], name: str) -> None:
    path = lines(tmp_path, ROWS) if name.endswith("jsonl") else csv(tmp_path, ROWS, name)
    first, *_ = found = list(records(path, TRANSACTIONS, mapped()))
    assert ids(found) == ["1", "2", "3"]
    assert [record.offset for record in found] == [0, 1, 2]
    assert first.message.amount == Decimal("1.50")
    assert first.message.event_time.isoformat() == "2026-01-01T00:00:00+00:00"


def test_labels_follow_after_their_delay_and_before_their_equals(
    tmp_path: Path, mapped: Callable[..., Mapping]
) -> None:
    found = list(records(lines(tmp_path, ROWS), TRANSACTIONS, mapped(), label_delay_ms=DAY))
    assert ids(found) == ["1", "chargeback:upstream:1", "2", "3"]
    label = found[1]
    assert (label.topic, label.offset, label.message.about) == (FEEDBACK, 0, "1")
    assert label.time == found[0].time + DAY


def test_the_last_labels_come_after_the_last_row(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    found = list(records(lines(tmp_path, ROWS), TRANSACTIONS, mapped(), label_delay_ms=7 * DAY))
    assert ids(found)[-1] == "chargeback:upstream:1"


def test_without_a_delay_or_a_label_there_is_no_feedback(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    path = lines(tmp_path, ROWS)
    assert len(list(records(path, TRANSACTIONS, mapped()))) == 3
    assert len(list(records(path, TRANSACTIONS, mapped(label=None), label_delay_ms=DAY))) == 3


def test_labels_alone_are_the_frauds(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    delayed = {"column": "when", "time": {"zone": "UTC", "delay": "2d"}}
    mapping = mapped(
        topic="feedback",
        fields={"about": "id", "event_time": delayed},
        constants={"kind": "chargeback"},
        only={"column": "bad"},
        label=None,
    )
    (found,) = records(lines(tmp_path, ROWS), FEEDBACK, mapping)
    assert (found.message.about, found.message.event_time.day) == ("1", 3)


def test_without_a_mapping_columns_are_fields(tmp_path: Path) -> None:
    row = {"event_id": "a", "event_time": "2026-01-01T00:00:00Z", "user": "u", "kind": "view", "offer": ""}
    for path in (lines(tmp_path, [row | {"offer": None}]), csv(tmp_path, [row])):
        (found,) = records(path, CLICKS)
        assert (found.id, found.message.offer) == ("a", None)


def test_a_bad_row_is_refused_by_number(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    path = lines(tmp_path, [ROWS[0], "{", "[1]", ROWS[1] | {"paid": "2.555"}, ROWS[2]])
    refused: list[tuple[int, str]] = []
    found = records(path, TRANSACTIONS, mapped(), refuse=lambda row, bad: refused.append((row, bad.reason)))
    assert [record.offset for record in found] == [0, 4]
    assert refused == [(1, "not_json"), (2, "invalid_field"), (3, "inexact_amount")]
    with pytest.raises(BadMessage, match="not_json: row 1"):
        list(records(path, TRANSACTIONS, mapped()))


def test_bad_rows_keep_their_place_where_rows_are_chosen(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    path = lines(tmp_path, ["{", *ROWS])
    refused: list[int] = []
    mapping = mapped(only={"column": "bad", "values": [0]})
    found = records(path, TRANSACTIONS, mapping, refuse=lambda row, bad: refused.append(row))
    assert [(record.id, record.offset) for record in found] == [("2", 2), ("3", 3)]
    assert refused == [0]


def test_personal_values_are_tokenised(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    tokeniser = Tokeniser({"1": b"key"})
    mapping = mapped(fields=PLAIN["fields"] | {"card": "who"})
    found = next(iter(records(lines(tmp_path, ROWS), TRANSACTIONS, mapping, tokeniser=tokeniser)))
    assert found.message.card == tokeniser.token("a")


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ({"text": {}}, "  two   words ", "two words"),
        ({"text": {"trim": False}}, " a ", " a "),
        ({"text": {"case": "upper"}}, "abc", "ABC"),
        ({"text": {"case": "lower"}}, "ABC", "abc"),
        ({"text": {}}, "   ", None),
        ({"text": {}}, None, None),
        (
            {"text": {"case": "upper", "patterns": [{"match": r"^AMZN\W*(\w+).*", "use": r"AMAZON \1"}]}},
            "amzn* de 12",
            "AMAZON DE",
        ),
        ({"text": {"patterns": [{"match": "x", "use": "y"}, {"match": "a", "use": "b"}]}}, "a", "b"),
        ({"text": {"table": {5411: "groceries"}}}, 5411, "groceries"),
        ({"text": {"table": {5411: "groceries"}}}, "5412", "5412"),
        ({"text": {"table": {5411: "groceries"}, "otherwise": "other"}}, "5412", "other"),
        ({"number": {}}, "1.50", "1.50"),
        ({"number": {"remove": "$,"}}, "$1,234.50", "1234.50"),
        ({"number": {"decimal_mark": ",", "remove": "."}}, "1.234,50", "1234.50"),
        ({"number": {"times": "0.01"}}, 1999, "19.99"),
        ({"number": {"decimals": 2}}, 12.340000000000001, 12.34),
        ({"number": {"decimals": 2}}, "12.345", "12.34"),
        ({"number": {}}, "ten", "ten"),
        ({"number": {}}, None, None),
        ({"time": {"unit": "hours", "since": "2026-01-01T00:00:00Z"}}, 36, "2026-01-02T12:00:00+00:00"),
        ({"time": {"unit": "seconds"}}, "60", "1970-01-01T00:01:00+00:00"),
        (
            {"time": {"layout": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"}},
            "01.07.2026 12:00",
            "2026-07-01T12:00:00+02:00",
        ),
        ({"time": {"delay": "1h"}}, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+00:00"),
        ({"time": {"zone": "UTC"}}, "some day", "some day"),
        ({"time": {"unit": "days"}}, 1e12, 1e12),
    ],
)
def test_a_value_is_cleaned(
    tmp_path: Path, mapped: Callable[..., Mapping], rule: Any, value: Any, expected: Any
) -> None:
    assert cleaned(tmp_path, mapped, rule, value) == expected


def test_a_table_may_be_a_file_beside_the_mapping(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    (tmp_path / "mcc.yaml").write_text("5411: groceries\n")
    assert cleaned(tmp_path, mapped, {"text": {"table": "mcc.yaml"}}, "5411") == "groceries"


def test_the_table_of_merchant_categories_that_ships_is_read() -> None:
    mapping = Mapping.model_validate(
        PLAIN
        | {"fields": PLAIN["fields"] | {"category": {"column": "mcc", "text": {"table": "merchant_categories.yaml"}}}},
        context=EXAMPLES,
    )
    assert mapping.fields["category"].text is not None
    assert mapping.fields["category"].text.convert(["5411", "7995"]) == ["groceries", "gambling"]


def test_a_time_without_zone_is_refused_unless_the_mapping_says_which(
    tmp_path: Path, mapped: Callable[..., Mapping]
) -> None:
    fields = PLAIN["fields"] | {"event_time": "when"}
    with pytest.raises(BadMessage, match="row 0: event_time: Input should have timezone info"):
        list(records(lines(tmp_path, ROWS), TRANSACTIONS, mapped(fields=fields)))


def test_parquet_types_are_understood(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    moment = datetime(2026, 1, 1, 12, 0, 0, 123_000)
    berlin = timezone(timedelta(hours=1))
    path = parquet(
        tmp_path,
        {
            "id": pa.array([1, 2], pa.int64()),
            "when": pa.array([moment, moment], pa.timestamp("ns")),
            "zoned": pa.array([moment.replace(tzinfo=berlin), None], pa.timestamp("ms", "Europe/Berlin")),
            "who": pa.array(["a", "b"]).dictionary_encode(),
            "paid": pa.array([1.25, 2.0]),
            "maybe": pa.array([None, 7], pa.int32()),
            "bad": pa.array([True, False]),
        },
    )
    fields = PLAIN["fields"] | {"maybe": "maybe", "zoned": "zoned"}
    first, label, second = records(path, TRANSACTIONS, mapped(fields=fields), label_delay_ms=0)
    assert first.message.time_ms() == label.time == 1_767_268_800_123
    assert first.message.model_extra == {"zoned": "2026-01-01T11:00:00.123000+00:00"}
    assert second.message.model_extra == {"maybe": 7}
    assert second.message.user == "b"


def test_an_empty_parquet_file_has_no_records(tmp_path: Path) -> None:
    columns = {"event_id": pa.array([], pa.int64()), "event_time": pa.array([], pa.timestamp("us", "UTC"))}
    assert list(records(parquet(tmp_path, columns), CLICKS)) == []


def test_batches_of_a_large_file_follow_each_other(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    rows = [ROWS[0] | {"id": n} for n in range(25_000)]
    assert [record.id for record in records(lines(tmp_path, rows), TRANSACTIONS, mapped())] == [
        str(n) for n in range(25_000)
    ]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"topic": "payments"}, "mapping.yaml: topic: "),
    ({"extra": 1}, "mapping.yaml: extra: Extra inputs"),
    ({"fields": {"event_id": "id"}}, "transactions needs `event_time`: name its column"),
    ({"fields": PLAIN["fields"] | {"user": {"column": "who", "txt": {}}}}, "fields.user.txt: Extra inputs"),
    ({"fields": PLAIN["fields"] | {"user": {"column": "who", "text": {"case": "title"}}}}, "fields.user.text.case: "),
    ({"fields": PLAIN["fields"] | {"user": {"column": "who", "text": {}, "number": {}}}}, "as `time`, not as two"),
    ({"fields": PLAIN["fields"] | {"user": {"column": "who", "text": {"table": "no.yaml"}}}}, "cannot be read"),
    (
        {"fields": PLAIN["fields"] | {"user": {"column": "w", "text": {"patterns": [{"match": "(", "use": ""}]}}}},
        "no regular",
    ),
    (
        {"fields": PLAIN["fields"] | {"event_time": {"column": "w", "time": {"zone": "Moon"}}}},
        "'Moon' is no IANA time zone",
    ),
    ({"fields": PLAIN["fields"] | {"event_time": {"column": "w", "time": {"delay": "soon"}}}}, "'soon' is no duration"),
    (
        {"fields": PLAIN["fields"] | {"event_time": {"column": "w", "time": {"unit": "days", "layout": "%Y"}}}},
        "not both",
    ),
]


@pytest.mark.parametrize(("changes", "complaint"), WRONG)
def test_a_wrong_mapping_names_the_file_and_the_key(
    mapped: Callable[..., Mapping], changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(MappingError) as caught:
        mapped(**changes)
    assert "mapping.yaml: " in str(caught.value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("text", ["", "- a list", "a: [", "\x00"])
def test_what_is_no_mapping_at_all_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(MappingError, match=r"mapping\.yaml"):
        Mapping.load(path)
    with pytest.raises(MappingError, match="cannot be read"):
        Mapping.load(tmp_path / "none.yaml")


def test_a_mapping_for_another_topic_or_other_columns_is_refused(
    tmp_path: Path, mapped: Callable[..., Mapping]
) -> None:
    with pytest.raises(MappingError, match="is for transactions, not clicks"):
        records(lines(tmp_path, ROWS), CLICKS, mapped())
    with pytest.raises(MappingError, match=r"label: the file has no column 'worse'; it has bad, id, paid, when, who"):
        list(records(csv(tmp_path, ROWS), TRANSACTIONS, mapped(label={"column": "worse"})))


def test_a_field_that_no_line_has_is_left_out(tmp_path: Path, mapped: Callable[..., Mapping]) -> None:
    mapping = mapped(fields=PLAIN["fields"] | {"card": "card_number"})
    assert next(iter(records(lines(tmp_path, ROWS), TRANSACTIONS, mapping))).message.card is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name, content in (
        ("a.parquet", b"PAR1"),
        ("b.csv.gz", b"no gzip"),
        ("c.csv", b"a,b\n1\n"),
        ("d.jsonl.gz", b"x"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UnreadableFile, match=name):
            list(read(path))
    for name in ("none.csv", "none.jsonl", "none.parquet"):
        with pytest.raises(UnreadableFile, match=name):
            list(read(tmp_path / name))
    with pytest.raises(UnreadableFile, match=r"x\.xls is none of"):
        kind(tmp_path / "x.xls")


def test_a_byte_order_mark_belongs_to_no_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbfname,size\na,\n")
    (rows,) = read(path)
    assert rows.columns == {"name": ["a"], "size": [None]}


@pytest.mark.data
def test_the_card_transactions_are_read_as_their_mapping_says(data_folder: Path) -> None:
    path = next((data_folder / "card_transactions").glob("*.parquet"))
    mapping = Mapping.load(EXAMPLES / "card_transactions.yaml")
    found = []
    for record in records(path, TRANSACTIONS, mapping, label_delay_ms=7 * DAY):
        found.append(record)
        if len(found) == 100_000:
            break
    assert [record.time for record in found] == sorted(record.time for record in found)
    assert TRANSACTIONS.encode(found[0].message) == (
        b'{"event_id":"0","event_time":"2018-04-01T00:00:31Z","user":"596","amount":"57.16","currency":"EUR",'
        b'"terminal":"3156"}'
    )
    paid = {record.id: record.time for record in found if record.topic is TRANSACTIONS}
    labels = [record for record in found if record.topic is FEEDBACK]
    assert labels
    assert all(record.time - paid[record.message.about] == 7 * DAY for record in labels)


@pytest.mark.data
def test_labels_alone_equal_the_labels_among_the_transactions(data_folder: Path) -> None:
    path = next((data_folder / "card_transactions").glob("*.parquet"))
    alone = records(path, FEEDBACK, Mapping.load(EXAMPLES / "card_transactions_labels.yaml"))
    mixed = records(path, TRANSACTIONS, Mapping.load(EXAMPLES / "card_transactions.yaml"), label_delay_ms=7 * DAY)
    among = (record for record in mixed if record.topic is FEEDBACK)
    assert [next(alone).message for _ in range(50)] == [next(among).message for _ in range(50)]
