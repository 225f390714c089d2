"""`headrace sql` finds ClickHouse and prints what it answers, for people and for programs."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streams.main import app
from streams.running import demo_folder, reachable
from streams.services.supervisor import Part, down, up
from streams.settings import Settings

ROWS = "SELECT number AS n, if(n = 1, NULL, concat('[b]', toString(n))) AS word, toDate('2026-01-02') AS day"


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["sql", *arguments])


@pytest.fixture
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_FOLDER", str(tmp_path))
    monkeypatch.delenv("HEADRACE_CLICKHOUSE", raising=False)
    return tmp_path


@pytest.mark.live
def test_programs_get_one_json_array(clickhouse_url: str) -> None:
    told = ask(f"{ROWS} FROM numbers(2)", "--json", "--clickhouse", clickhouse_url)
    assert json.loads(told.stdout) == [
        {"n": 0, "word": "[b]0", "day": "2026-01-02"},
        {"n": 1, "word": None, "day": "2026-01-02"},
    ]


@pytest.mark.live
def test_spreadsheets_get_csv_with_a_header(clickhouse_url: str) -> None:
    told = ask(f"{ROWS} FROM numbers(2)", "--csv", "--clickhouse", clickhouse_url)
    assert told.stdout.splitlines() == ["n,word,day", "0,[b]0,2026-01-02", "1,,2026-01-02"]


@pytest.mark.live
def test_people_get_a_table_as_it_stands_in_the_database(clickhouse_url: str) -> None:
    told = ask(f"{ROWS} FROM numbers(2)", "--clickhouse", clickhouse_url).stdout
    assert "[b]0" in told
    assert "NULL" in told
    assert "2 rows" in told
    assert "1 row\n" in ask("SELECT 1", "--clickhouse", clickhouse_url).stdout


@pytest.mark.live
def test_a_wrong_question_is_answered_with_what_is_wrong(clickhouse_url: str) -> None:
    told = ask("SELECT nonsense", "--clickhouse", clickhouse_url)
    assert told.exit_code == 1
    assert "nonsense" in told.stderr
    assert "Traceback" not in told.stderr


def test_without_a_clickhouse_it_says_how_to_start_one(nothing_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CLICKHOUSE", "http://127.0.0.1:1")
    told = ask("SELECT 1")
    assert told.exit_code == 1
    assert "headrace demo" in told.stderr


def test_an_address_that_is_none_is_refused(nothing_set: Path) -> None:
    told = ask("SELECT 1", "--clickhouse", "postgres://x")
    assert told.exit_code == 1
    assert "no address of ClickHouse" in told.stderr


def test_where_nothing_runs_the_settings_stay(nothing_set: Path) -> None:
    assert reachable(Settings()) == Settings()


@pytest.mark.live
def test_the_running_demo_is_found_before_other_services_but_what_is_set_wins(
    nothing_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        services = up(nothing_set, (Part.REDIS,))
        assert reachable(Settings()).redis == services.redis
        demo = up(demo_folder(Settings()), (Part.REDIS,))
        assert reachable(Settings()).redis == demo.redis != services.redis
        monkeypatch.setenv("HEADRACE_REDIS", "redis://elsewhere")
        assert reachable(Settings()).redis == "redis://elsewhere"
    finally:
        down(demo_folder(Settings()))
        down(nothing_set)
