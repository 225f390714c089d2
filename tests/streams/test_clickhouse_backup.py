"""Rows of ClickHouse come back from a backup as they were, and none shows twice."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sinks import clickhouse_copy
from sinks.analytics import AnalyticsSink, client_for, create_schema
from streams.backup import copy_clickhouse, finish, restore_clickhouse
from streams.backup_files import ClickHousePart, Manifest, verified
from tests.contracts.results import alert, dead_letter, encoded, example, features, model_version, ranking, score
from tests.contracts.results import transaction as payment

MONTH = 31 * 86_400_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    client = client_for(f"chdb://{tmp_path_factory.mktemp('copied')}")
    create_schema(client)
    yield client
    client.close()


def empty(client: Any) -> None:
    for table in clickhouse_copy.tables(client):
        if clickhouse_copy.count(client, table):
            clickhouse_copy.truncate(client, table)


def fill(client: Any) -> None:
    empty(client)
    told = [alert(), dead_letter(), example(), features(), model_version(), ranking(), score(), payment()]
    later = [score(event_id=f"later-{n}", event_time=score().event_time + n * MONTH) for n in range(3)]
    asyncio.run(AnalyticsSink(client).write([encoded(message) for message in (*told, *later)]))


def rows(client: Any) -> dict[str, list[Any]]:
    """Return the rows that each table shows, every stored column of them."""
    found = {}
    for table in clickhouse_copy.tables(client):
        names = ", ".join(f"`{name}`" for name in clickhouse_copy.columns(client, table))
        found[table] = client.query(f"SELECT {names} FROM {table} FINAL ORDER BY ALL").result_rows
    return found


def backed_up(client: Any, folder: Path) -> Manifest:
    columns, files = copy_clickhouse(client, folder, lambda _: None)
    finish(folder, files, None, ClickHousePart("26", columns, "group", []))
    return verified(folder, lambda _: None)


def test_rows_come_back_as_they_were_and_show_once_when_they_come_twice(client: Any, tmp_path: Path) -> None:
    fill(client)
    before = rows(client)
    manifest = backed_up(client, tmp_path)
    assert len([name for name in manifest.files if name.startswith("clickhouse/scores/")]) == 3
    assert sum(mark.rows for mark in manifest.files.values()) == sum(map(len, before.values())) > 10
    empty(client)
    for _ in range(2):
        assert restore_clickhouse(client, tmp_path, manifest, lambda _: None) > 10
        assert rows(client) == before


@pytest.mark.live
def test_rows_come_back_over_http(clickhouse_url: str, tmp_path: Path) -> None:
    client_for(clickhouse_url).command("CREATE DATABASE IF NOT EXISTS copied")
    client = client_for(f"{clickhouse_url}/copied")
    create_schema(client)
    fill(client)
    before = rows(client)
    manifest = backed_up(client, tmp_path)
    empty(client)
    restore_clickhouse(client, tmp_path, manifest, lambda _: None)
    assert rows(client) == before


def test_a_backup_fits_tables_that_have_grown_since(client: Any, tmp_path: Path) -> None:
    fill(client)
    manifest = backed_up(client, tmp_path)
    clickhouse_copy.truncate(client, "alerts")
    client.command("ALTER TABLE alerts ADD COLUMN IF NOT EXISTS grown UInt8 DEFAULT 7")
    try:
        restore_clickhouse(client, tmp_path, manifest, lambda _: None)
        assert client.query("SELECT grown, status FROM alerts FINAL").result_rows == [(7, alert().status)]
    finally:
        client.command("ALTER TABLE alerts DROP COLUMN grown")
