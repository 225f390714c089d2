"""What every sink promises: twice is once, all or nothing, any order, and a time to come back when it is away."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from redis import Redis

from schemas.errors import BadMessage
from schemas.topics import SCORES
from sinks.analytics import TABLES, AnalyticsSink, client_for, create_schema, query
from sinks.base import Encoded, Sink, SinkBusy
from sinks.connection import connect
from sinks.faulty import Broken, Fault, FaultySink
from sinks.memory import MemorySink, MemoryValues
from sinks.serving import ServingSink
from tests.contracts.results import (
    NOON,
    alert,
    click,
    dead_letter,
    encoded,
    example,
    features,
    item_demand,
    model_version,
    offer_example,
    offer_usage,
    ranker_version,
    ranking,
    recommendations,
    reward_stray,
    score,
    shuffled,
    transaction,
)


@dataclass
class Case:
    """An empty sink under test, a look at all that it holds, and the same sink with its store away."""

    sink: Sink
    contents: Callable[[], Any]
    away: Sink | None = None
    orders: int = 100


@pytest.fixture(params=["memory", "faulty", "serving in memory", "serving", "analytics in chDB", "analytics"])
def case(request: pytest.FixtureRequest) -> Case:
    match request.param:
        case "serving in memory":
            values = MemoryValues()
            return Case(ServingSink(values), values.contents)
        case "serving":
            return serving(request.getfixturevalue("redis_url").removesuffix("/0") + "/10")
        case "analytics in chDB":
            return analytics(request.getfixturevalue("embedded"))
        case "analytics":
            return analytics(request.getfixturevalue("server"), orders=10)
    sink = MemorySink()
    away = FaultySink(sink, [Fault.BUSY])
    contents = lambda: {topic.name: sink.rows(topic) for topic in sink.inputs}  # noqa: E731
    return Case(sink if request.param == "memory" else FaultySink(sink, []), contents, away)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    client = client_for(f"chdb://{tmp_path_factory.mktemp('analytics')}")
    create_schema(client)
    yield client
    client.close()


@pytest.fixture(scope="module")
def server(clickhouse_url: str) -> Iterator[Any]:
    with_database(clickhouse_url, "contract")
    client = client_for(f"{clickhouse_url}/contract")
    create_schema(client)
    yield client
    client.close()


def with_database(url: str, name: str) -> None:
    client = client_for(url)
    client.command(f"CREATE DATABASE IF NOT EXISTS {name}")
    client.close()


def serving(url: str) -> Case:
    plain: Any = Redis.from_url(url)
    plain.flushdb()

    class Connected(ServingSink):
        """Connects for each write, as each write of these tests has an event loop of its own."""

        def __init__(self, url: str) -> None:
            self.url = url

        async def write(self, records: Sequence[Encoded]) -> None:
            client = connect(self.url)
            try:
                await ServingSink(client).write(records)
            finally:
                await client.aclose()

    def contents() -> Any:
        hashes = (b":models", b":rankers")
        strings = [key for key in plain.scan_iter(count=10_000) if not key.endswith(hashes)]
        values = plain.mget(strings) if strings else []
        newest = [plain.hgetall("hr:default" + key.decode()) for key in hashes]
        return dict(zip(strings, values, strict=True)), newest

    return Case(Connected(url), contents, Connected("redis://127.0.0.1:1/0"))


def analytics(client: Any, orders: int = 30) -> Case:
    tables = sorted(set(TABLES.values()))
    for table in tables:
        client.command(f"TRUNCATE TABLE {table}")

    def contents() -> Any:
        return {table: query(client, f"SELECT * FROM v_{table} ORDER BY ALL").rows for table in tables}

    return Case(AnalyticsSink(client), contents, orders=orders)


def written(case: Case, *batches: Sequence[Encoded]) -> Any:
    """Write the batches and return what the sink holds then."""

    async def write() -> None:
        for batch in batches:
            await case.sink.write(batch)

    asyncio.run(write())
    return case.contents()


def varied(case: Case) -> list[Encoded]:
    """Return records of every topic the sink takes: corrections, repeats, many scripts, all ages."""
    messages: list[Any] = [
        *(score(f"e{n}", event_time=NOON - 86_400_000 * n * 7, user=f"u{n % 3}") for n in range(6)),
        *(score(f"s{n}", user="same", terminal="time") for n in range(3)),
        score("e1", tenant="acme"),
        score("Ünï-Ω/漢字 😀", user="\x00'\\\n\"", terminal="%7B{}"),
        *(features(f"e{n}", event_time=NOON + n, customer=(1.5, 0.1 + 0.2)) for n in range(4)),
        *(model_version(n) for n in range(1, 4)),
        *(alert(f"e{n}") for n in range(3)),
        alert("e1", status="resolved"),
        *(example(f"e{n}", label=n == 2) for n in range(4)),
        example("e1", label=True, late=True, matured_at=NOON + 30 * 86_400_000),
        *(dead_letter(n) for n in range(3)),
        *(transaction(f"e{n}", note="漢字") for n in range(4)),
        *(ranking(f"d{n}", event_time=NOON - 86_400_000 * n * 7, user=f"u{n % 3}") for n in range(6)),
        ranking("d1", tenant="acme", slots=(), refused={"Ünï 😀": "stock"}),
        ranking("elsewhere", policy="logged", shown=True),
        *(offer_example(f"d{n}", label=n == 2) for n in range(4)),
        *(ranker_version(n) for n in range(1, 4)),
        *(reward_stray(f"c{n}", reason="unknown_offer") for n in range(7, 9)),
        *(offer_usage(n) for n in range(4)),
        *(recommendations(f"r{n}", event_time=NOON + n * 86_400_000, user=f"u{n % 3}") for n in range(6)),
        recommendations("r1", tenant="acme", items=(), user="Ünï 😀", personal=False),
        *(item_demand(n) for n in range(1, 4)),
        *(click(f"c{n}", kind) for n, kind in enumerate(("impression", "view", "redemption"))),
    ]
    known = {topic.name for topic in case.sink.inputs}
    return [record for record in map(encoded, messages) if record.topic in known]


def test_writing_twice_is_writing_once(case: Case) -> None:
    records = varied(case)
    once = written(case, records)
    assert once
    assert written(case, records, records[::-1], records[:3]) == once


def test_all_orders_and_batchings_are_equal(case: Case) -> None:
    records = varied(case)
    expected = written(case, records)
    for seed in range(case.orders):
        order, cut = shuffled(records, seed), seed % (len(records) - 1) + 1
        assert written(case, order[:cut], order[cut:]) == expected


def test_ten_thousand_rows_are_one_write(case: Case) -> None:
    contents = written(case, [encoded(score(f"e{n}", user=f"u{n}")) for n in range(10_000)])
    assert repr(contents).count("e9999'") + repr(contents).count('"e9999"') >= 1


def test_nothing_is_a_write_too(case: Case) -> None:
    before = case.contents()
    assert written(case, []) == before


def test_a_message_that_cannot_be_read_keeps_its_batch_out(case: Case) -> None:
    before = case.contents()
    rotten = Encoded(SCORES.name, b'{"event_id":"rotten"')
    with pytest.raises((BadMessage, DatabaseError)):
        written(case, [*(encoded(score(f"e{n}")) for n in range(100)), rotten])
    assert case.contents() == before


def test_a_topic_it_does_not_take_is_refused_by_name(case: Case) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        written(case, [encoded(score()), Encoded("nowhere", b"{}")])


@pytest.mark.parametrize("case", ["memory", "serving"], indirect=True)
def test_a_store_that_is_away_says_when_to_come_back(case: Case) -> None:
    assert case.away is not None
    with pytest.raises(SinkBusy) as busy:
        asyncio.run(case.away.write([encoded(score())]))
    assert busy.value.retry_after > 0


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.BEFORE, Fault.HALF, Fault.AFTER])
def test_a_write_repeated_after_any_fault_is_one_write(case: Case, fault: Fault) -> None:
    records, sink = varied(case), FaultySink(case.sink, [fault])

    async def repeated() -> None:
        with pytest.raises((SinkBusy, Broken)):
            await sink.write(records)
        await sink.write(records)

    asyncio.run(repeated())
    after_the_fault = case.contents()
    assert written(case, records) == after_the_fault
