"""What rests in ClickHouse, and the analysts' queries of docs/analytics.md, on the real engine."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.results import ModelVersion
from schemas.topics import EXAMPLES, FEEDBACK, JOURNAL, SCORES
from sinks.analytics import TABLES, AnalyticsSink, Answer, client_for, create_schema, query, row_binary
from sinks.base import Encoded, SinkBusy
from streams.services.supervisor import Part, down, up
from tests.contracts.results import (
    NOON,
    alert,
    click,
    dead_letter,
    encoded,
    example,
    features,
    model_alias,
    model_version,
    offer_example,
    offer_usage,
    ranker_version,
    ranking,
    reward_stray,
    rollout,
    score,
    transaction,
)
from tests.sinks.analysts import DAY, QUERIES, emptied, keep
from tests.sinks.offer_history import offer_history


def at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


def one(client: Any, sql: str) -> Any:
    (row,) = query(client, sql).rows
    return tuple(row)


def test_a_score_keeps_every_field(client: Any) -> None:
    made = score(
        "Ünï 😀", card="tok_1_x", country="DE", shadow={"frozen": 0.5}, ages={"t": 5}, digest="9f", event_time=-1
    )
    keep(client, made)
    columns, rows = query(client, "SELECT * FROM v_scores")
    said = dict(zip(columns, rows[0], strict=True))
    assert said.pop("event_time") == datetime(1969, 12, 31, 23, 59, 59, 999_000)
    for name in set(made.__struct_fields__) - {"event_time", "reasons"}:
        assert (tuple(said[name]) if name == "vector" else said[name]) == getattr(made, name), name
    assert [reason["text"] for reason in said["reasons"]] == [reason.text for reason in made.reasons]


RESULTS = [score(), features(), example(), alert(), model_version(), model_alias(), dead_letter()]
OFFER_RESULTS = [ranking(), offer_example(), reward_stray(), ranker_version(), offer_usage(), rollout()]
LEFT_OUT = {
    "v_model_versions": {"blob"},
    "v_ranker_versions": {"blob"},
    "v_labels": {"vector"},
    "v_rewards": {"vector"},
}


@pytest.mark.parametrize("made", [*RESULTS, *OFFER_RESULTS], ids=lambda made: type(made).__name__)
def test_every_field_of_a_result_has_its_column(client: Any, made: Any) -> None:
    keep(client, made)
    view = f"v_{TABLES[encoded(made).topic]}"
    columns, _ = query(client, f"SELECT * FROM {view}")
    assert set(made.__struct_fields__) - set(columns) == LEFT_OUT.get(view, set())


@pytest.mark.parametrize(
    "given",
    [
        '"2018-07-01T12:00:00.123Z"',
        '"2018-07-01T14:00:00.123+02:00"',
        '"2018-07-01 12:00:00.123Z"',
        "1530446400123",
        '"1530446400123"',
        "1530446400.123",
    ],
)
def test_the_time_of_an_event_is_read_as_its_app_writes_it(client: Any, given: str) -> None:
    keep(client, b'{"event_id":"e1","event_time":%s}' % given.encode())
    assert one(client, "SELECT toUnixTimestamp64Milli(event_time) FROM v_events") == (1_530_446_400_123,)


def test_an_event_is_kept_whole_with_its_amount_exact(client: Any) -> None:
    given = transaction(
        "e1", amount="0.00000001", currency="BTC", unknown={"deep": [1, "漢字"]}, tenant="acme", user=42
    )
    keep(client, given)
    asked = "SELECT raw, amount, currency, tenant, user, topic FROM v_events"
    assert one(client, asked) == (given.decode(), Decimal("0.00000001"), "BTC", "acme", "42", "transactions")


def test_feedback_without_an_id_has_the_one_that_the_pipeline_gives_it(client: Any) -> None:
    sent = b'{"about":"e1","kind":"chargeback","event_time":"2018-07-08T00:00:00Z"}'
    asyncio.run(AnalyticsSink(client).write([Encoded(FEEDBACK.name, sent)] * 2))
    assert one(client, "SELECT event_id, about FROM v_events") == (FEEDBACK.decode(sent).event_id, "e1")


def test_an_event_of_two_topics_is_two_events(client: Any) -> None:
    asyncio.run(AnalyticsSink(client).write([Encoded(name, transaction("e1")) for name in ("transactions", "clicks")]))
    assert one(client, "SELECT count() FROM v_events") == (2,)


def test_what_is_no_json_does_not_stop_the_rest_and_is_not_shown(client: Any) -> None:
    keep(client, b"junk", b"[1]", b"\xff\x00", transaction("e1"))
    assert one(client, "SELECT event_id FROM v_events") == ("e1",)


def test_a_field_that_the_table_does_not_know_is_left_out(client: Any) -> None:
    newer = SCORES.encode(score())[:-1] + b',"added_next_year":{"a":1}}'
    asyncio.run(AnalyticsSink(client).write([Encoded(SCORES.name, newer)]))
    assert one(client, "SELECT count() FROM v_scores") == (1,)


def test_history_of_many_years_is_one_write(client: Any) -> None:
    keep(client, *(score(f"e{n}", event_time=n * 31 * DAY) for n in range(120)))
    assert one(client, "SELECT count(), uniqExact(toYYYYMM(event_time)) FROM v_scores") == (120, 120)


def test_a_late_label_corrects_the_earlier_one(client: Any) -> None:
    keep(client, example(label=True, late=True, matured_at=NOON + 30 * DAY))
    keep(client, example(label=False))
    assert one(client, "SELECT label, matured_at FROM v_labels") == (True, at(NOON + 30 * DAY).replace(tzinfo=None))


def test_quality_is_that_of_the_textbook(client: Any) -> None:
    for n, (rank, label) in enumerate([(0.1, False), (0.4, False), (0.35, True), (0.8, True)]):
        keep(client, example(f"e{n}", score=rank, probability=0.5, label=label))
    figures = "n, frauds, auc, average_precision, log_loss, precision_at_100"
    assert one(client, f"SELECT {figures} FROM model_quality WHERE label_age = 'all'") == pytest.approx(
        (4, 2, 0.75, 0.8333, 0.6931, 0.5), abs=1e-4
    )


def test_quality_is_unknown_where_all_are_genuine_or_all_are_fraud(client: Any) -> None:
    keep(client, example("e1"), example("e2", label=True, matured_at=NOON + 1, probability=1.0))
    asked = "SELECT label_age, auc FROM model_quality ORDER BY label_age"
    assert query(client, asked).rows == [("7 to 30 days", None), ("all", 0.5), ("under 1 day", None)]


def test_precision_is_of_the_hundred_riskiest(client: Any) -> None:
    keep(client, *(example(f"e{n}", score=n / 1000, label=n >= 950) for n in range(1000)))
    assert one(client, "SELECT precision_at_100 FROM model_quality_by_day") == (0.5,)


def test_a_query_is_answered_with_its_columns(client: Any) -> None:
    asked = query(client, "SELECT {n:UInt8} AS n, 'x' AS text", {"n": 3})
    assert asked == Answer(("n", "text"), [(3, "x")])


def test_a_query_that_is_wrong_is_not_called_busy(client: Any) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        query(client, "SELECT * FROM nowhere")


def test_a_query_that_takes_too_much_is_to_be_asked_again_later(client: Any) -> None:
    with pytest.raises(SinkBusy, match="ClickHouse"):
        query(client, "SELECT groupArray(number) FROM numbers(100000000) SETTINGS max_memory_usage = 10000000")


def test_a_topic_without_table_is_refused_at_once(client: Any) -> None:
    with pytest.raises(ValueError, match=r"no table for \['journal'\]"):
        AnalyticsSink(client, [EXAMPLES, JOURNAL])


def test_missing_tables_are_named_with_the_way_out(client: Any) -> None:
    client.command("RENAME TABLE alerts TO hidden")
    try:
        with pytest.raises(ValueError, match="call create_schema"):
            keep(client, alert())
    finally:
        client.command("RENAME TABLE hidden TO alerts")


def test_creating_the_schema_again_keeps_what_is_there(client: Any) -> None:
    keep(client, score())
    views = "SELECT name, uuid, metadata_modification_time FROM system.tables WHERE engine = 'View' ORDER BY name"
    before = query(client, views).rows
    create_schema(client)
    assert one(client, "SELECT count() FROM v_scores") == (1,)
    assert query(client, views).rows == before


def test_a_view_of_another_schema_is_replaced(client: Any) -> None:
    client.command("CREATE OR REPLACE VIEW v_scores AS SELECT 1 AS old COMMENT 'of another schema'")
    create_schema(client)
    assert one(client, "SELECT count(probability) FROM v_scores") == (0,)


def test_a_column_that_came_later_is_filled_for_what_was_there_before(client: Any) -> None:
    client.command("ALTER TABLE events DROP COLUMN decision")
    keep(client, click("c1", "view", decision_id="d7"))
    create_schema(client)
    keep(client, click("c2", "view", decision_id="d8"))
    assert query(client, "SELECT decision FROM v_events ORDER BY 1").rows == [("d7",), ("d8",)]


@pytest.mark.parametrize("size", [60, 127, 128, 16_383, 16_384, 1_000_000])
def test_rows_of_any_size_pass(client: Any, size: int) -> None:
    large = b'{"event_id":"large"}'.ljust(size)
    client.raw_insert("events", ["topic", "raw"], row_binary(b"transactions", [large, transaction()]), fmt="RowBinary")
    assert query(client, "SELECT event_id FROM v_events ORDER BY 1").rows == [("e1",), ("large",)]
    assert one(client, "SELECT length(raw) FROM v_events WHERE event_id = 'large'") == (size,)


@pytest.mark.parametrize("url", ["redis://localhost", "localhost:8123", "chdb"])
def test_another_address_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ValueError, match="http://host:port or chdb:///folder"):
        client_for(url)


def test_a_server_that_never_was_is_busy() -> None:
    with pytest.raises(SinkBusy, match="ClickHouse"):
        client_for("http://127.0.0.1:1")


@pytest.mark.live
def test_an_outage_is_said_and_the_repeated_write_repairs_it(tmp_path: Path) -> None:
    try:
        client = client_for(str(up(tmp_path, [Part.CLICKHOUSE]).clickhouse))
        create_schema(client)
        keep(client, score("before"))
        down(tmp_path)
        with pytest.raises(SinkBusy) as busy:
            keep(client, score("during"))
        assert busy.value.retry_after == 2
        up(tmp_path, [Part.CLICKHOUSE])
        keep(client, score("during"))
        assert query(client, "SELECT event_id FROM v_scores ORDER BY 1").rows == [("before",), ("during",)]
        client.close()
    finally:
        down(tmp_path)


def versions() -> list[ModelVersion]:
    """Return versions of two models; drift was found before the first and the third of one of them."""
    drifts = [(1.0, 0.0), (1.0, 0.0), (1.0, 2.0)]
    told = [dict(zip(("label_drifts", "residual_drifts"), each, strict=True)) for each in drifts]
    return [*(model_version(n, metrics=each) for n, each in enumerate(told, 1)), model_version(model="steady")]


@pytest.fixture(scope="module")
def history(engine: Any) -> Any:
    """Four days of ten payments, beside offers; risk rises with the hour, and each day's two riskiest are alerted."""
    emptied(engine)
    messages: list[Any] = [dead_letter(n, reason="not_json" if n % 2 else "missing_field") for n in range(5)]
    for n in range(40):
        day, hour = divmod(n, 10)
        time, risk = NOON + day * DAY + hour * 3_600_000, hour * 10
        about: dict[str, Any] = {
            "event_time": time,
            "user": f"customer-{n % 3}",
            "terminal": f"t{hour % 4}",
            "amount": 10.0,
        }
        decision = "decline" if risk >= 90 else "review" if risk >= 80 else "approve"
        graded = {"risk": risk, "decision": decision}
        messages.append(score(f"e{n}", **about, **graded, score=risk / 100, probability=risk / 100))
        messages.append(transaction(f"e{n}", **about | {"event_time": time}))
        if risk >= 80:
            messages.append(alert(f"e{n}", **about, **graded, status="resolved" if day == 0 else "open"))
        fraud = risk >= 90 and day < 2
        known = {"matured_at": time + (2 if fraud else 7) * DAY, "source": "chargeback" if fraud else "window"}
        messages.append(example(f"e{n}", **about, **known, label=fraud, score=risk / 100, probability=risk / 100))
    messages += [transaction("unscored", event_time=NOON), *versions(), *offer_history()]
    keep(engine, *messages)
    return engine


NOON_READ = datetime(2018, 7, 1, 12)
ANSWERS: dict[str, Any] = {
    "Alert precision by day": [(date(2018, 7, 1 + n), 2, 2, int(n < 2), 0.5 if n < 2 else 0.0) for n in range(4)],
    "Money blocked": [("EUR", 40.0, 20.0, 20.0, 0.0)],
    "What another threshold would do": [
        (10 * n, 4 * (10 - n), round(2 / (4 * (10 - n)), 3), 1.0) for n in range(1, 10)
    ],
    "How late labels arrive": [("chargeback", 2, [2.0, 2.0, 2.0], 0)],
    "Terminals with the most fraud": [("t1", 12, 2, 0.167, 20.0, "EUR")],
    "Score distribution": [(10 * n, 4, n / 10, 0.5 if n == 9 else 0.0) for n in range(10)],
    "Dead letters by reason": [
        (date(2018, 7, 1), "transactions", "missing_field", 3, "expected value at line 1 column 1"),
        (date(2018, 7, 1), "transactions", "not_json", 2, "expected value at line 1 column 1"),
    ],
    "How completely labels have arrived": [
        ("fraud", 0, 40, 0, 0.0, 0.0),
        ("fraud", 1, 30, 0, 0.0, 0.0),
        ("fraud", 2, 20, 2, 0.1, 1.0),
        ("fraud", 3, 10, 1, 0.1, 1.0),
    ],
    "The rate of fraud by day": [
        ("fraud", date(2018, 7, 1), 10, 10, 1, 0.1, 0.0179, 0.4042, 0.1),
        ("fraud", date(2018, 7, 2), 10, 10, 1, 0.1, 0.0179, 0.4042, None),
        ("fraud", date(2018, 7, 3), 10, 10, 0, 0.0, 0.0, 0.2775, None),
        ("fraud", date(2018, 7, 4), 10, 10, 0, 0.0, 0.0, 0.2775, None),
    ],
    "Versions that saw a change": [
        ("fraud", 1, NOON_READ, 1.0, 0.0),
        ("fraud", 3, NOON_READ, 1.0, 2.0),
    ],
    "Payments without a score": [(datetime(2018, 7, 1, 12), "unscored", "ann")],
}


def test_there_are_ten_questions_and_more() -> None:
    assert len(QUERIES) >= 10
    assert set(ANSWERS) <= set(QUERIES)


@pytest.mark.parametrize("question", QUERIES)
def test_every_question_of_the_guide_has_an_answer(history: Any, question: str) -> None:
    assert query(history, QUERIES[question]).rows


@pytest.mark.parametrize("question", ANSWERS)
def test_the_answers_are_right(history: Any, question: str) -> None:
    assert [tuple(row) for row in query(history, QUERIES[question]).rows] == ANSWERS[question]


def test_the_timeline_is_in_order_and_tells_all_three(history: Any) -> None:
    rows = query(history, QUERIES["A customer's timeline"]).rows
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert {row[1] for row in rows} == {"transactions", "score", "label"}
    assert "fraud, says chargeback" in {row[3] for row in rows}


def test_reasons_are_counted_by_feature(history: Any) -> None:
    rows = query(history, QUERIES["Reasons"]).rows
    assert [tuple(row[:4]) for row in rows] == [("f0", 8, 1.5, 0.25), ("f1", 8, 0.5, 0.25)]


def test_only_open_alerts_age(history: Any) -> None:
    rows = query(history, QUERIES["Open alerts by age"]).rows
    assert [tuple(row[:2]) for row in rows] == [("under 1 hour", 1), ("1 to 24 hours", 1), ("1 to 7 days", 4)]
