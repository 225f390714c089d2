"""The sink brings what stands on the topics to ClickHouse, however ClickHouse fares."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import topics
from schemas.privacy import Tokeniser
from sinks.analytics import INPUTS, client_for, create_schema, query
from sinks.base import Encoded, SinkBusy
from streams.analytics_feed import AnalyticsFeed
from streams.metrics import Endpoint, FeedMetrics
from streams.services.ports import free_port
from streams.services.supervisor import Part, down, up
from streams.topic_admin import create_topics
from tests.contracts import results

pytestmark = pytest.mark.live

TOKENISER = Tokeniser({"1": b"key"})


class Remembered:
    """A sink that keeps what it is given, and is away for as many writes as it is told."""

    inputs = INPUTS

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.records: list[Encoded] = []

    async def write(self, records: Sequence[Encoded]) -> None:
        if self.away:
            self.away -= 1
            raise SinkBusy(0.1)
        self.records += records


@pytest.fixture(scope="module")
def broker(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a broker of this module's own, since it uses the real topics; `kafka` says whether one can run here."""
    folder = tmp_path_factory.mktemp("sink")
    address = up(folder, (Part.KAFKA,)).kafka
    assert address is not None
    create_topics(address)
    yield address
    down(folder)


def until(reached: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.05)


def produce(broker: str, records: Sequence[Encoded]) -> None:
    producer = Producer({"bootstrap.servers": broker})
    for record in records:
        producer.produce(record.topic, record.value)
    assert producer.flush(30) == 0


def payments(run: str, count: int) -> list[Encoded]:
    return [results.encoded(results.transaction(f"{run}-{n}", card="4111111111111111")) for n in range(count)]


@pytest.fixture
def fed(broker: str) -> Iterator[Callable[[Remembered, str], AnalyticsFeed]]:
    feeds: list[tuple[AnalyticsFeed, Thread]] = []

    def feed(sink: Remembered, group: str) -> AnalyticsFeed:
        started = AnalyticsFeed(broker, group, sink, TOKENISER)
        thread = Thread(target=started.run)
        thread.start()
        feeds.append((started, thread))
        return started

    yield feed
    for started, thread in feeds:
        started.stop()
        thread.join()


Feed = Callable[[Remembered, str], AnalyticsFeed]


def found(sink: Remembered, run: str) -> list[Encoded]:
    return [record for record in list(sink.records) if run.encode() in record.value]


def test_personal_data_rest_as_tokens_and_results_pass_as_they_are(broker: str, fed: Feed) -> None:
    score = results.encoded(results.score("pass-1"))
    produce(broker, [*payments("pass", 1), score, Encoded(topics.TRANSACTIONS.name, b"pass: no message")])
    sink = Remembered()
    feed = fed(sink, "pass")
    until(lambda: len(found(sink, "pass")) == 2)
    by_topic = {record.topic: record.value for record in found(sink, "pass")}
    assert by_topic[topics.SCORES.name] == score.value
    assert TOKENISER.token("4111111111111111").encode() in by_topic[topics.TRANSACTIONS.name]
    until(lambda: feed.counts["skipped"] > 0)


def test_a_batch_waits_for_a_store_that_is_away_and_comes_once(broker: str, fed: Feed) -> None:
    sink = Remembered(away=3)
    feed = fed(sink, "away")
    produce(broker, payments("away", 50))
    until(lambda: len(found(sink, "away")) >= 50)
    assert feed.counts["busy"] == 3
    assert len(found(sink, "away")) == 50


def test_offsets_are_committed_after_the_write_only(broker: str, fed: Feed) -> None:
    sink = Remembered(away=10**6)
    feed = fed(sink, "after")
    produce(broker, payments("after", 10))
    until(lambda: feed.counts["busy"] > 1)
    assert committed(broker, "after") == 0
    sink.away = 0
    until(lambda: len(found(sink, "after")) == 10)
    until(lambda: committed(broker, "after") >= 10)
    until(lambda: bool(feed.lag) and not sum(feed.lag.values()))


def committed(broker: str, group: str) -> int:
    consumer = Consumer({"bootstrap.servers": broker, "group.id": group})
    try:
        asked = [TopicPartition(topics.TRANSACTIONS.name, n) for n in range(topics.TRANSACTIONS.partitions)]
        return sum(max(0, each.offset) for each in consumer.committed(asked, timeout=10))
    finally:
        consumer.close()


def test_operators_see_whether_a_feed_lives_and_what_it_did(broker: str, fed: Feed) -> None:
    sink = Remembered()
    feed = fed(sink, "seen")
    produce(broker, payments("seen", 5))
    until(lambda: len(found(sink, "seen")) == 5)
    why: list[str | None] = [None]
    endpoint = Endpoint("127.0.0.1", 0, FeedMetrics(feed), lambda: why[0])
    try:
        address = f"http://127.0.0.1:{endpoint.port}"
        assert get(f"{address}/livez") == (200, "alive\n")
        _, metrics = get(f"{address}/metrics")
        assert "headrace_sink_batches_total" in metrics
        assert "headrace_sink_last_progress_seconds" in metrics
        until(lambda: 'headrace_sink_lag{partition="0",topic="transactions"} 0.0' in get(f"{address}/metrics")[1])
        why[0] = "stuck"
        assert get(f"{address}/livez") == (503, "stuck\n")
        assert get(f"{address}/other")[0] == 404
    finally:
        endpoint.close()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_the_command_fills_clickhouse_and_drains_at_sigterm(broker: str, clickhouse_url: str, tmp_path: Path) -> None:
    produce(broker, payments("command", 30))
    port = free_port()
    environment = os.environ | {
        "HEADRACE_KAFKA": broker,
        "HEADRACE_CLICKHOUSE": clickhouse_url,
        "HEADRACE_GROUP": "command",
        "HEADRACE_METRICS_PORT": str(port),
    }
    client = client_for(clickhouse_url)
    create_schema(client)
    counted = "SELECT count() FROM v_events WHERE startsWith(event_id, 'command-')"
    with (tmp_path / "log").open("wb") as log:
        sink = subprocess.Popen([sys.executable, "-m", "streams", "sink"], env=environment, stdout=log, stderr=log)
        try:
            until(lambda: query(client, counted).rows[0][0] == 30)
            assert get(f"http://127.0.0.1:{port}/livez")[0] == 200
        finally:
            sink.send_signal(signal.SIGTERM)
            status = sink.wait(30)
    assert status == 0, (tmp_path / "log").read_text()
    assert "drained" in (tmp_path / "log").read_text()
