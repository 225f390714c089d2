"""clickhouse_connect and plain HTTP meet the embedded engine as they would meet a ClickHouse server."""

import gzip
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
import uvicorn
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from sinks.chdb_engine import Engine, EngineError
from sinks.chdb_server import serve
from streams.services.ports import free_port
from streams.services.supervisor import Part, down, up

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    application = serve(Engine(tmp_path_factory.mktemp("chdb")))
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


def connect(url: str, database: str = "__default__", compress: str | bool = False) -> Client:
    _, _, port = url.rpartition(":")
    return clickhouse_connect.get_client(host="127.0.0.1", port=int(port), database=database, compress=compress)


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with connect(url) as connected:
        connected.command("CREATE OR REPLACE TABLE t (id UInt64, s String) ENGINE = MergeTree ORDER BY id")
        yield connected


def rows(client: Client) -> list[tuple[int, str]]:
    return [(int(row[0]), str(row[1])) for row in client.query("SELECT id, s FROM t ORDER BY id").result_rows]


AWKWARD = [(1, "it's"), (2, 'back\\slash "quoted"'), (3, "two\nlines\tFORMAT Native\n"), (4, "żółw 🐢"), (5, "")]


def test_ping_answers_as_clickhouse_does(url: str, client: Client) -> None:
    assert httpx.get(f"{url}/ping").text == "Ok.\n"
    assert httpx.get(url).text == "Ok.\n"
    assert client.ping()


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_inserted_rows_are_read_back_whatever_the_compression(url: str, client: Client, compress: str | bool) -> None:
    with connect(url, compress=compress) as other:
        summary = other.insert("t", AWKWARD, column_names=["id", "s"])
        assert summary.written_rows == len(AWKWARD)
        assert rows(other) == AWKWARD


def test_an_insert_of_many_blocks_arrives_whole(url: str, client: Client) -> None:
    with connect(url, compress="lz4") as other:
        other.insert("t", [[i, "x" * 2000] for i in range(5000)], column_names=["id", "s"])
    assert client.query("SELECT count(), sum(id) FROM t").result_rows == [(5000, 12497500)]


def test_json_lines_pass_through_as_bytes(client: Client) -> None:
    lines = b'{"id": 7, "s": "it\'s FORMAT CSV"}\n{"s": "b", "id": 8}\n'
    summary = client.raw_insert("t", insert_block=lines, fmt="JSONEachRow")
    assert summary.written_rows == 2
    assert rows(client) == [(7, "it's FORMAT CSV"), (8, "b")]


def test_compressed_json_lines_come_with_the_statement_in_the_address(client: Client) -> None:
    lines = gzip.compress(b'{"id": 1, "s": "a"}')
    client.raw_insert("t", ["id", "s"], lines, fmt="JSONEachRow", compression="gzip")
    assert rows(client) == [(1, "a")]


def test_rows_may_stand_in_the_statement_or_come_from_a_query(client: Client) -> None:
    client.command("INSERT INTO t VALUES (1, 'a')")
    client.command('INSERT INTO t FORMAT JSONEachRow {"id": 2, "s": "b"}')
    client.command("INSERT INTO t (id, s) SELECT 3, 'c'")
    client.command("INSERT INTO t (id, s) FORMAT CSV", data="4,d\n")
    assert rows(client) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


def test_columns_may_be_named_like_words_of_the_language(client: Client) -> None:
    client.command("CREATE OR REPLACE TABLE odd (`format` UInt8, `values` UInt8) ENGINE = Memory")
    client.insert("odd", [[1, 2]], column_names=["format", "values"])
    client.command("INSERT INTO odd (format, values) FORMAT CSV", data="3,4\n")
    assert client.query("SELECT * FROM odd ORDER BY ALL").result_rows == [(1, 2), (3, 4)]


def test_parameters_are_bound_by_the_engine(client: Client) -> None:
    client.insert("t", AWKWARD, column_names=["id", "s"])
    for identity, text in AWKWARD:
        found = client.query("SELECT id FROM t WHERE s = {wanted:String}", {"wanted": text}).result_rows
        assert found == [(identity,)]


def test_parameters_too_long_for_an_address_come_as_a_form(client: Client) -> None:
    long = "ż'\\\n" * 20_000
    assert client.query("SELECT {long:String}, {n:Int8}", {"long": long, "n": -1}).result_rows == [(long, -1)]


def test_settings_hold_for_their_own_request_only(client: Client) -> None:
    asked = "SELECT getSetting('max_block_size')"
    before = client.command(asked)
    assert client.command(asked, settings={"max_block_size": 1234}) == 1234
    assert client.query(asked, settings={"max_block_size": 1234}).result_rows == [(1234,)]
    assert client.command(asked) == before


def test_a_client_stays_in_its_own_database(url: str, client: Client) -> None:
    client.command("CREATE DATABASE IF NOT EXISTS `other``s`")
    with connect(url, database="other`s") as other:
        assert other.command("SELECT currentDatabase()") == "other`s"
    assert client.command("SELECT currentDatabase()") == "default"


def test_an_empty_result_is_not_a_command(client: Client) -> None:
    assert client.command("SELECT id FROM t") == ""
    assert client.query("SELECT id FROM t").result_rows == []
    assert client.query("SELECT id, s FROM t LIMIT 0").column_names == ("id", "s")


def test_times_keep_their_zone(client: Client) -> None:
    told = client.query("SELECT toDateTime64('2024-02-29 12:00:00.5', 3, 'UTC') AS at").result_rows
    assert told[0][0].replace(tzinfo=UTC) == datetime(2024, 2, 29, 12, 0, 0, 500_000, tzinfo=UTC)


def test_a_raw_query_answers_in_the_format_asked_for(client: Client) -> None:
    assert client.raw_query("SELECT 1 AS a", fmt="JSONEachRow") == b'{"a":1}\n'


@pytest.mark.parametrize(
    ("sql", "code", "status"),
    [
        ("SELECT nope", 47, 404),
        ("SELECT * FROM absent", 60, 404),
        ("SELEC 1", 62, 400),
        ("SELECT throwIf(1)", 395, 500),
        ("INSERT INTO absent FORMAT JSONEachRow\n{}", 60, 404),
        ('INSERT INTO t FORMAT JSONEachRow\n{"id": "x"}', 27, 400),
    ],
)
def test_an_error_comes_with_its_number_and_status(url: str, client: Client, sql: str, code: int, status: int) -> None:
    answer = httpx.post(url, content=sql)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert answer.text.startswith(f"Code: {code}. DB::Exception")
    with pytest.raises(DatabaseError, match=f"code: {code}"):
        client.command(sql)


def test_a_refused_insert_leaves_nothing_behind(client: Client) -> None:
    with pytest.raises(DatabaseError):
        client.raw_insert("t", insert_block=b'{"id": 1}\n{"id": "x"}\n', fmt="JSONEachRow")
    assert rows(client) == []


@pytest.mark.parametrize(
    ("headers", "params", "code"),
    [
        ({"Content-Encoding": "snappy"}, {}, "89"),
        ({"Content-Encoding": "gzip"}, {}, "271"),
        ({}, {"decompress": "1"}, "48"),
        ({}, {"no such; setting": "1"}, "115"),
        ({}, {"no_such_setting": "1"}, "115"),
    ],
)
def test_what_is_not_spoken_here_is_refused_by_name(
    url: str, headers: dict[str, str], params: dict[str, str], code: str
) -> None:
    answer = httpx.post(url, content=b"SELECT 1", headers=headers, params=params)
    assert (answer.is_error, answer.headers["X-ClickHouse-Exception-Code"]) == (True, code)


def test_external_tables_are_refused(client: Client) -> None:
    table = ExternalData(file_name="x.csv", data=b"1\n", fmt="CSV", structure=["a UInt8"])
    with pytest.raises(DatabaseError, match="external table 'x'"):
        client.query("SELECT * FROM x", external_data=table)


def test_a_link_changes_nothing(url: str, client: Client) -> None:
    assert httpx.get(url, params={"query": "SELECT 1"}).text == "1\n"
    answer = httpx.get(url, params={"query": "DROP TABLE t", "readonly": "0"})
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert rows(client) == []


def test_statements_run_side_by_side(url: str, client: Client) -> None:
    refusals: list[Exception] = []

    def insert(first: int) -> None:
        try:
            with connect(url) as own:
                for at in range(first, first + 10):
                    own.insert("t", [[at, "x"]], column_names=["id", "s"])
        except DatabaseError as refused:
            refusals.append(refused)

    threads = [threading.Thread(target=insert, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals == []
    assert client.command("SELECT uniqExact(id) FROM t") == 40


def test_an_error_of_the_engine_without_a_number_gets_that_of_any_other() -> None:
    assert EngineError("out of luck").code == 1001
    assert str(EngineError("Streaming failed: Code: 60. DB::Exception: no")) == "Code: 60. DB::Exception: no"


def test_acknowledged_rows_survive_sigterm(tmp_path: Path) -> None:
    try:
        before = up(tmp_path, [Part.CLICKHOUSE])
        assert before.clickhouse is not None
        with connect(before.clickhouse) as client:
            client.command("CREATE TABLE t (id UInt64, s String) ENGINE = MergeTree ORDER BY id")
            client.insert("t", AWKWARD, column_names=["id", "s"])
        assert down(tmp_path) == ("clickhouse",)
        assert up(tmp_path, [Part.CLICKHOUSE]) == before
        with connect(before.clickhouse) as client:
            assert rows(client) == AWKWARD
    finally:
        down(tmp_path)
