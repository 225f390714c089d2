"""The demo's run over a real broker: records are published, and a worker and a sink of their own do the work."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Condition

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas.offer_topics import OFFER_EXAMPLES, RANKERS, RANKINGS
from schemas.recommendation_topics import RECOMMENDATIONS
from schemas.records import DAY, AnyRecord, AnyTopic, Record
from schemas.topics import ALERTS, BY_NAME, EXAMPLES, MODELS, SCORES
from sinks.analytics import Client, query
from streams.demo import Sources
from streams.publish import Published, publish
from streams.services.errors import ServiceFailed
from streams.services.ports import free_port
from streams.settings import Settings
from streams.tally import Tally
from streams.topic_admin import create_topics

FOLLOWED: tuple[AnyTopic, ...] = (SCORES, ALERTS, EXAMPLES, MODELS, RANKINGS, OFFER_EXAMPLES, RANKERS, RECOMMENDATIONS)
START_SECONDS = 60.0
QUIET_SECONDS = 2.0
LOST_SECONDS = 30.0
POLL_SECONDS = 0.1
CHUNK = 1_000
GRACE_SECONDS = 30.0


@contextmanager
def workforce(settings: Settings, folder: Path) -> Iterator[None]:
    """Create the topics, run one worker and one sink as processes, and end them by SIGTERM, which drains them.

    Begins once the worker has its partitions. Raises ServiceFailed with the end of the log of one that fails.
    """
    create_topics(settings.kafka)
    port = free_port()
    commands = {"worker": {"HEADRACE_METRICS_PORT": str(port)}, "sink": {"HEADRACE_METRICS_PORT": "0"}}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command, own in commands.items():
            started.append(_started(command, folder, _environment(settings) | own))
        _await_partitions(started[0], port, folder)
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            process.wait(GRACE_SECONDS)


class Conversation:
    """What happens and what is said of it, of which one thread asks for the former and another tells the latter.

    A day begins once each request of the day before has its ranking: what comes of that is not much too late then.
    """

    def __init__(self, sources: Sources, tally: Tally, show: Callable[[], None]) -> None:
        self.tally = tally
        self.show = show
        self._sources = sources
        self._turn = Condition()

    def happening(self) -> Iterator[AnyRecord]:
        """Yield everything to publish, and count it. Raises ServiceFailed when rankings fail to come."""
        today = 0
        remaining = self._sources.happening()
        while (record := self._next(remaining)) is not None:
            if record.time // DAY > today:
                today = record.time // DAY
                self._await_answers()
            yield record

    def hear(self, said: AnyRecord) -> None:
        """Take in and count something that was said."""
        with self._turn:
            self._sources.hear(said)
            self.tally.take(said)
            self._turn.notify()

    def _next(self, remaining: Iterator[AnyRecord]) -> AnyRecord | None:
        with self._turn:
            if (record := next(remaining, None)) is not None:
                self.tally.take(record)
            return record

    def _await_answers(self) -> None:
        with self._turn:
            if not self._turn.wait_for(lambda: not self._sources.waiting, LOST_SECONDS):
                raise ServiceFailed(f"{self._sources.waiting:,} requests for offers, and no ranking for 30 s")


def run(settings: Settings, sources: Sources, analytics: Client, tally: Tally, show: Callable[[], None]) -> None:
    """Publish the records and follow what is said of them, until all of it is said and rests in ClickHouse."""
    conversation = Conversation(sources, tally, show)
    with ThreadPoolExecutor(1) as pool, closing(_consumer(settings.kafka)) as consumer:
        publishing = pool.submit(publish, conversation.happening(), settings.kafka)
        _follow(consumer, publishing, conversation)
        publishing.result()
    deadline = time.monotonic() + LOST_SECONDS
    while _rows(analytics) < tally.scores + tally.alerts + tally.matured and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _started(command: str, folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with _log(folder, command).open("wb") as log:
        # A session of its own: Ctrl-C is for the demo, which then ends its processes in order.
        return subprocess.Popen(
            [sys.executable, "-m", "streams", command],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _environment(settings: Settings) -> dict[str, str]:
    addresses = {name.upper(): getattr(settings, name) for name in ("kafka", "redis", "clickhouse")}
    return dict(os.environ) | {f"HEADRACE_{name}": at for name, at in addresses.items()} | {"HEADRACE_THROW_AWAY": "1"}


def _await_partitions(worker: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "headrace_lane_waiting{" not in _metrics(port):
        if worker.poll() is not None or time.monotonic() > deadline:
            log = _log(folder, "worker")
            last = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise ServiceFailed(f"the worker did not come up. Its log ends with:\n{last}\n({log})")
        time.sleep(POLL_SECONDS)


def _metrics(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def _log(folder: Path, command: str) -> Path:
    return folder / "logs" / f"{command}.log"


def _follow(consumer: Consumer, publishing: Future[Published], conversation: Conversation) -> None:
    """Hear what is said until all payments have their score and nothing more comes. Raises ServiceFailed."""
    heard, tally = time.monotonic(), conversation.tally
    while True:
        found = _said(consumer)
        for record in found:
            conversation.hear(record)
        conversation.show()
        if found or not publishing.done():
            heard = time.monotonic()
        quiet = time.monotonic() - heard
        if quiet > QUIET_SECONDS and tally.scores >= tally.events:
            return
        if quiet > LOST_SECONDS:
            raise ServiceFailed(f"{tally.events:,} payments, {tally.scores:,} scores, and nothing more for 30 s")


def _said(consumer: Consumer) -> Sequence[AnyRecord]:
    found: list[AnyRecord] = []
    for message in consumer.consume(CHUNK, POLL_SECONDS):
        if message.error() is None and (value := message.value()) is not None:
            topic = BY_NAME[str(message.topic())]
            said = topic.decode(value)
            found.append(Record(topic, said, said.event_id))
    return found


def _consumer(bootstrap: str) -> Consumer:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "headrace-demo", "enable.auto.commit": False})
    consumer.assign(
        [TopicPartition(topic.name, n, OFFSET_BEGINNING) for topic in FOLLOWED for n in range(topic.partitions)]
    )
    return consumer


def _rows(analytics: Client) -> int:
    counts = " UNION ALL ".join(f"SELECT count() AS n FROM v_{view}" for view in ("scores", "alerts", "labels"))
    return int(query(analytics, f"SELECT sum(n) FROM ({counts})").rows[0][0])
