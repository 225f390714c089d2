"""`headrace evaluate offers`: rankings judged on one wave of random sends, from a folder of files."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from typer.testing import CliRunner, Result

from schemas.offer_results import Ranking
from schemas.topics import CLICKS, OFFERS, PROFILES, TRANSACTIONS
from streams.card_offers import START, CardOffers, hour_of
from streams.files import UnreadableFile
from streams.main import app
from streams.offer_evaluation import Observed, Wave, judged
from tests.builders import HOUR
from tests.processors.offer_world import click, offer, ranking, record, slot

ZERO = round(START.timestamp() * 1000)
PORTFOLIO = (
    {"id": "b", "offer_type": "bogo", "reward": 10, "difficulty": 10, "duration": 5.0, "channels": ["web"]},
    {"id": "d", "offer_type": "discount", "reward": 3, "difficulty": 7, "duration": 7.0, "channels": ["email"]},
    {"id": "i", "offer_type": "informational", "reward": 0, "difficulty": 0, "duration": 3.0, "channels": []},
)
CUSTOMERS = 120


def _transcript() -> list[dict[str, Any]]:
    """Return sends every week to every customer; even ones redeem what they get, having seen it."""
    rows = []
    for hour in (0, 168, 336, 504):
        rows += [_row(hour, number, "offer received", "bdi"[(number + hour) % 3]) for number in range(CUSTOMERS)]
        rows += [_row(hour + 6, number, "transaction", None, 12.5) for number in range(CUSTOMERS)]
        for number in range(0, CUSTOMERS, 2):
            rows.append(_row(hour + 12, number, "offer viewed", "bdi"[(number + hour) % 3]))
            if (number + hour) % 3 < 2:
                rows.append(_row(hour + 18, number, "offer completed", "bd"[(number + hour) % 3]))
    return sorted(rows, key=lambda row: row["time"])


def _row(time: int, number: int, event: str, offer: str | None, amount: float | None = None) -> dict[str, Any]:
    return {"person": f"c{number}", "event": event, "time": time, "offer_id": offer, "amount": amount}


def written(folder: Path, rows: list[dict[str, Any]], name: str = "transcript_1.parquet") -> None:
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), folder / name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offers")
    (folder / "portfolio.json").write_text("".join(json.dumps(each) + "\n" for each in PORTFOLIO) + "\n")
    customers = (
        {"id": f"c{number}", "became_member_on": "20170212", "gender": None, "age": 118, "income": None}
        if number % 5 == 0
        else {"id": f"c{number}", "became_member_on": "20180101", "gender": "F", "age": 40, "income": 50_000}
        for number in range(CUSTOMERS)
    )
    with gzip.open(folder / "profile.json.gz", "wt") as file:
        file.writelines(json.dumps(each) + "\n" for each in customers)
    rows = _transcript()
    middle = len(rows) // 2
    written(folder, rows[:middle], "transcript_late.parquet")
    written(folder, rows[middle:], "transcript_even_later.parquet")
    return folder


def evaluate(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", "offers", str(folder), *options])


def test_figures_are_one_object(folder: Path) -> None:
    found = json.loads(evaluate(folder, "--test-wave", "504", "--max-duration-days", "7", "--json").stdout)
    assert (found["n"], found["base_rate"]) == (80, 0.5)
    assert found["uniform_value"] == found["best_fixed_value"] == 0.5
    assert found["model_version"] > 0
    assert found["auc"] > 0.9
    assert {"policy_value", "policy_se", "policy_n"} <= set(found)


def test_only_offers_of_the_duration_are_judged(folder: Path) -> None:
    found = json.loads(evaluate(folder, "--test-wave", "336", "--max-duration-days", "5", "--json").stdout)
    assert (found["n"], found["policy_n"], found["policy_value"]) == (40, 40, 0.5)


def test_figures_are_a_table_for_a_person(folder: Path) -> None:
    told = evaluate(folder, "--test-wave", "168")
    assert "hour 168, at most 7 days" in told.stdout
    assert "best_fixed_value" in told.stdout


def test_an_unknown_wave_is_told_with_those_there_are(folder: Path) -> None:
    told = evaluate(folder, "--test-wave", "100")
    assert told.exit_code == 1
    assert "sent at hour 100; sends are at 0, 168, 336, 504" in " ".join(told.stderr.split())


@pytest.mark.parametrize("missing", ["portfolio.json", "profile.json", "transcript"])
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, missing: str) -> None:
    for path in folder.iterdir():
        if not path.name.startswith(missing):
            (tmp_path / path.name).symlink_to(path)
    told = evaluate(tmp_path, "--test-wave", "336")
    assert told.exit_code == 1
    assert missing in told.stderr


def test_files_that_are_not_what_they_should_be_are_named(folder: Path, tmp_path: Path) -> None:
    for name in ("portfolio.json", "profile.json.gz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    written(tmp_path, [_row(0, 1, "offer forgotten", "b")])
    with pytest.raises(UnreadableFile, match="unknown event 'offer forgotten'"):
        list(CardOffers(tmp_path).records())
    pyarrow.parquet.write_table(pa.table({"time": [1]}), tmp_path / "transcript_1.parquet")
    with pytest.raises(UnreadableFile, match=r"transcript_1\.parquet has no column person, event, offer_id, amount"):
        list(CardOffers(tmp_path).records())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "a line is no JSON object"),
        ("[]", "a line is no JSON object"),
        ('{"id": "b"}', "an entry has no offer_type"),
    ],
)
def test_a_catalogue_that_is_none_is_named(folder: Path, tmp_path: Path, line: str, said: str) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "portfolio.json").write_text(line)
    with pytest.raises(UnreadableFile, match=rf"portfolio\.json: {said}"):
        list(CardOffers(tmp_path).records())


def test_events_that_go_back_in_time_are_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("portfolio.json", "profile.json.gz"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    written(tmp_path, [_row(6, 1, "offer received", "b"), _row(0, 1, "offer viewed", "b")])
    with pytest.raises(UnreadableFile, match="event 1 at hour 0 comes after hour 6"):
        list(CardOffers(tmp_path).records())


def test_the_files_become_offers_customers_and_events_in_order_of_time(folder: Path) -> None:
    found = list(CardOffers(folder).records())
    assert [each.topic for each in found[:3]] == [OFFERS] * 3
    assert all(each.topic is PROFILES for each in found[3 : 3 + CUSTOMERS])
    assert [each.time for each in found] == sorted(each.time for each in found)
    assert len({each.id for each in found}) == len(found)
    payment = next(each.message for each in found if each.topic is TRANSACTIONS)
    assert (str(payment.amount), payment.currency, hour_of(payment.time_ms())) == ("12.50", "USD", 6)
    sends = [each.message for each in found if each.topic is CLICKS and each.message.kind == "impression"]
    assert {send.propensity for send in sends} == {1 / 3}
    assert len({send.decision_id for send in sends}) == len(sends) == 4 * CUSTOMERS
    assert found[3].message.age is None
    assert found[4].message.age == 40


def figures(shown: str, scores: tuple[float, float], *clicks: tuple[str, int]) -> dict[str, Any]:
    """Return what is made of one send of one of two offers, and of clicks so many hours after it."""
    kept = Observed(Wave(0, 7))
    happened = [click("impression", ZERO, offer=shown)]
    happened += [click(kind, ZERO + hours * HOUR, offer=shown) for kind, hours in clicks]
    catalogue = (("coffee", 5), ("tea", 5), ("beans", 8))
    for message in (*(offer(name, event_time=START, duration_days=days) for name, days in catalogue), *happened):
        kept.note(record(message))
    first = ("coffee", "tea", "beans")
    decided: Ranking = ranking(ZERO, slot(shown, ZERO), candidates=first, scores=(*scores, 0.99))
    kept.rankings = {"d-1": decided}
    return judged(kept)


@pytest.mark.parametrize(
    ("clicks", "label"),
    [
        ((("view", 0), ("redemption", 0)), 1.0),
        ((("view", 120), ("redemption", 120)), 1.0),
        ((("view", 1), ("redemption", 121)), 0.0),
        ((("redemption", 1), ("view", 2)), 0.0),
        ((("redemption", 1), ("view", 2), ("redemption", 3)), 1.0),
        ((("view", 1),), 0.0),
        ((), 0.0),
    ],
)
def test_a_label_is_a_view_at_or_before_a_redemption_in_time(clicks: tuple[tuple[str, int], ...], label: float) -> None:
    assert figures("coffee", (0.6, 0.4), *clicks)["base_rate"] == label


def test_the_policy_is_worth_the_sends_it_would_have_sent() -> None:
    success = (("view", 1), ("redemption", 2))
    assert figures("coffee", (0.6, 0.4), *success)["policy_value"] == 1.0
    other = figures("coffee", (0.4, 0.6), *success)
    assert (other["policy_value"], other["policy_n"], other["policy_se"]) == (None, 0, None)


def test_files_that_end_before_the_last_window_are_told() -> None:
    assert figures("coffee", (0.6, 0.4), ("view", 120))["windows_complete"]
    assert not figures("coffee", (0.6, 0.4), ("view", 119))["windows_complete"]


def test_a_wave_judges_what_can_be_redeemed_in_its_days() -> None:
    kept = figures("tea", (0.1, 0.2))
    assert (kept["n"], kept["best_fixed_value"], kept["uniform_value"]) == (1, 0.0, 0.0)


def test_sends_of_offers_that_the_catalogue_does_not_know_are_not_judged() -> None:
    kept = Observed(Wave(0, 7))
    kept.note(record(click("impression", ZERO, offer="unheard of")))
    assert kept.sends == []
    assert kept.hours == {0}


def test_the_rankings_of_real_sends_reach_their_figures(data_folder: Path) -> None:
    told = evaluate(data_folder / "card_offers", "--test-wave", "336", "--max-duration-days", "7", "--json")
    found = json.loads(told.stdout)
    assert found["n"] == 7_611
    assert found["base_rate"] == pytest.approx(0.396, abs=0.004)
    assert found["auc"] >= 0.78
    assert found["policy_value"] >= found["best_fixed_value"] - found["policy_se"]
    assert not found["windows_complete"]
