"""One pass over a labelled file, judged by the handbook's protocol; no label comes before its time."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from schemas.events import Feedback
from schemas.records import DAY, AnyRecord
from schemas.topics import FEEDBACK, TRANSACTIONS
from streams.assembly import fraud_pipeline
from streams.evaluation import Protocol, evaluate_fraud, labelled_sources, until
from streams.mappings import Mapping
from streams.settings import Settings
from tests.builders import record, transaction

MAPPING = Path(__file__).parents[2] / "examples" / "mappings" / "card_transactions.yaml"
HEADER = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD"


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return Mapping.load(MAPPING)


@pytest.fixture
def months(tmp_path: Path) -> list[Path]:
    """Write three weeks of 25 customers in two files: all pay every day, on the nth one defrauds the nth of them."""
    files = [tmp_path / "first.csv", tmp_path / "second.csv"]
    for part, path in enumerate(files):
        days = range(1, 12) if part == 0 else range(12, 22)
        path.write_text("\n".join([HEADER, *(line for day in days for line in of_day(day))]) + "\n")
    return files


def of_day(day: int) -> list[str]:
    return [
        f"{day}-{customer},2018-04-{day:02} 10:{customer:02}:00,c{customer},t{customer},"
        f"{900 if customer == day else 20}.50,{int(customer == day)}"
        for customer in range(25)
    ]


def run(files: Sequence[Path], mapping: Mapping, protocol: Protocol) -> dict[str, object]:
    sources, frauds = labelled_sources(files, mapping, 7 * DAY)
    progress: list[int] = []
    found = evaluate_fraud(fraud_pipeline(Settings()), sources, frauds, protocol, progress.append)
    assert progress == []
    return found


def test_the_days_asked_for_are_judged(months: list[Path], mapping: Mapping) -> None:
    found = run(months, mapping, Protocol(datetime(2018, 4, 14), days=3))
    assert (found["n"], found["frauds"], found["model"]) == (19 + 18 + 17, 3, "fraud")
    assert found["auc"] == found["average_precision"] == 1.0
    assert found["card_precision_100"] == 0.01
    assert found["events_per_second"] > 0  # type: ignore[operator]


def test_by_week_the_means_of_the_weeks_are_told(months: list[Path], mapping: Mapping) -> None:
    found = run(months, mapping, Protocol(datetime(2018, 4, 8), days=14, by_week=True))
    weeks = found["weeks"]
    assert isinstance(weeks, list)
    assert len(weeks) == 2
    for name in ("auc", "average_precision", "card_precision_100"):
        assert found[name] == pytest.approx(sum(week[name] for week in weeks) / 2)
    assert found["n"] == sum(week["n"] for week in weeks)


def test_weeks_are_whole() -> None:
    with pytest.raises(ValueError, match="10 days are no whole weeks"):
        Protocol(datetime(2018, 4, 8), days=10, by_week=True)


def test_customers_already_known_as_defrauded_are_left_out(months: list[Path], mapping: Mapping) -> None:
    known = range(20 - 14, 20 - 8 + 1)
    assert run(months, mapping, Protocol(datetime(2018, 4, 20), days=1))["n"] == 25 - len(known)


def test_days_without_transactions_cannot_be_judged(months: list[Path], mapping: Mapping) -> None:
    with pytest.raises(ValueError, match="no transactions to score"):
        run(months, mapping, Protocol(datetime(2018, 5, 20)))


def test_labels_come_a_week_late_and_none_before_its_time_where_files_meet(
    months: list[Path], mapping: Mapping
) -> None:
    sources, frauds = labelled_sources(months, mapping, 7 * DAY)
    found = list(sources)
    assert len(frauds) == 21
    assert [each.topic for each in found].count(FEEDBACK) == 21
    assert all(earlier.time <= later.time for earlier, later in pairwise(found))
    paid = {each.id: each.time for each in found if each.topic is TRANSACTIONS}
    for message in (each.message for each in found):
        if isinstance(message, Feedback):
            assert message.time_ms() == paid[message.about] + 7 * DAY


def test_nothing_after_the_last_day_is_read() -> None:
    later: list[AnyRecord] = [record(transaction(f"e{n}", n * DAY)) for n in range(5)]
    assert [each.id for each in until(later, 3 * DAY)] == ["e0", "e1", "e2"]
