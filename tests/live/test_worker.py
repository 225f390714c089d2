"""Workers score every payment once in effect, whatever ends them, and whatever their broker and store do meanwhile."""

import urllib.request
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
from confluent_kafka import Producer

from schemas.records import AnyRecord, Record
from schemas.topics import DEAD_LETTERS, SCORES, TRANSACTIONS
from streams.assembly import pipeline
from streams.publish import publish
from streams.services.ports import free_port
from streams.services.supervisor import Part, down, up
from streams.settings import Settings
from streams.simulator import World, simulate
from tests.builders import transaction
from tests.live.workers import Running, Stage, encoded, staged
from tests.schemas.test_decoding import BAD

pytestmark = pytest.mark.live

WORLD = World(customers=50, terminals=30, days=10, fraud_rate=0.05, label_delay_ms=3 * 86_400_000)
CHOSEN = {"label_window": "3d", "publish_every": "100", "batch": "200"}
SETTINGS = Settings(throw_away=True, **CHOSEN)  # type: ignore[arg-type]


@cache
def events() -> list[AnyRecord]:
    return list(simulate(WORLD))


def payments(records: Sequence[AnyRecord]) -> set[str]:
    return {record.id for record in records if record.topic is TRANSACTIONS}


@pytest.fixture
def stage(folder: Path) -> Iterator[Stage]:
    with staged(folder, pipeline(SETTINGS), CHOSEN) as stage:
        yield stage


def assert_exactly_once(stage: Stage, records: Sequence[AnyRecord]) -> None:
    """Assert that every payment has its score, and that all that was said and kept equals the journal's replay."""
    said = stage.said([*stage.pipeline.outputs, DEAD_LETTERS])
    scored = {identity.partition(">")[0] for identity in said if identity.endswith(">features.0>fraud.0")}
    assert scored == payments(records)
    with stage.journal(SETTINGS) as journal:
        assert said == {each.id: each.topic.encode(each.message) for each in journal.records()}
    assert stage.states() == encoded(journal.tasks)


def assert_lag_is_gone(stage: Stage) -> None:
    committed, ends = stage.committed(), stage.ends(stage.inputs)
    assert committed == {at: end for at, end in ends.items() if end}


def test_sigterm_drains_and_nothing_is_said_twice(stage: Stage) -> None:
    records = events()
    half = len(records) // 2
    publish(records[:half], stage.broker)
    with stage.worker() as worker:
        worker.until(lambda: stage.count(SCORES) > 0)
        publish(records[half:], stage.broker)
        assert worker.terminate() == 0, worker.log
    with stage.worker() as worker:
        worker.until(stage.caught_up)
        assert worker.terminate() == 0, worker.log
    assert sum(map(stage.count, stage.pipeline.outputs)) == len(stage.said(stage.pipeline.outputs))
    assert_exactly_once(stage, records)
    assert_lag_is_gone(stage)


def test_workers_that_die_at_every_step_are_followed_by_one_that_goes_on(stage: Stage) -> None:
    publish(events(), stage.broker)
    for failpoint in ["stepped@9", "committed@5", "produced@7", "committed"]:
        # Each in a group of its own: there the next one need not wait for its session to end.
        with stage.worker(failpoint=failpoint, group=f"{stage.group}-{failpoint}") as worker:
            assert worker.wait() == 137, worker.log
    with stage.worker() as worker:
        worker.until(stage.caught_up)
        assert_committed_is_covered(stage)
        assert worker.terminate() == 0, worker.log
    assert_exactly_once(stage, events())
    assert_lag_is_gone(stage)


def assert_committed_is_covered(stage: Stage) -> None:
    """Assert that Kafka believes no more than the checkpoints have."""
    committed = stage.committed()
    for offsets in stage.checkpoints().values():
        assert all(committed.get(at, 0) <= offset for at, offset in offsets.items())


def send(stage: Stage, records: Iterable[AnyRecord], **options: str) -> None:
    """Publish records as some app with a producer of its own options would."""
    producer = Producer({"bootstrap.servers": stage.broker, "partitioner": "murmur2_random", **options})
    for record in records:
        producer.produce(record.topic.name, record.topic.encode(record.message), record.key.encode())
    assert producer.flush(30) == 0


def finished(stage: Stage, worker: Running) -> None:
    """Let a worker take all there is, and end it."""
    worker.until(stage.caught_up)
    assert worker.terminate() == 0, worker.log


def test_whatever_an_app_compresses_with_is_read(stage: Stage) -> None:
    for n, codec in enumerate(["lz4", "zstd", "snappy", "gzip"]):
        send(stage, events()[n::4], **{"compression.type": codec})
    with stage.worker() as worker:
        finished(stage, worker)
    assert_exactly_once(stage, events())


def test_an_app_may_write_in_transactions(stage: Stage) -> None:
    """Their markers take offsets without being records; what was aborted never happened."""
    producer = Producer({"bootstrap.servers": stage.broker, "transactional.id": "app", "partitioner": "murmur2_random"})
    producer.init_transactions(30)
    aborted = [Record(TRANSACTIONS, transaction(f"aborted-{n}", user=f"u{n}"), f"aborted-{n}") for n in range(20)]
    for start in range(0, len(events()), 300):
        transact(producer, aborted)
        producer.abort_transaction(30)
        transact(producer, events()[start : start + 300])
        producer.commit_transaction(30)
    with stage.worker(stalled_after="20s") as worker:
        worker.until(lambda: stage.count(SCORES) == len(payments(events())))
        assert worker.terminate() == 0, worker.log
    assert_exactly_once(stage, events())


def transact(producer: Producer, records: Iterable[AnyRecord]) -> None:
    producer.begin_transaction()
    for record in records:
        producer.produce(record.topic.name, record.topic.encode(record.message), record.key.encode())
    assert producer.flush(30) == 0


def test_a_payment_that_is_published_twice_counts_once(stage: Stage) -> None:
    repeated = [record for n, record in enumerate(events()) for _ in range(2 if n % 3 == 0 else 1)]
    publish(repeated, stage.broker)
    with stage.worker() as worker:
        finished(stage, worker)
    assert_exactly_once(stage, events())


def test_bad_messages_become_dead_letters_and_scoring_goes_on(stage: Stage) -> None:
    half = len(events()) // 2
    publish(events()[:half], stage.broker)
    producer = Producer({"bootstrap.servers": stage.broker, "message.max.bytes": 4_000_000})
    for value, _ in BAD.values():
        producer.produce(TRANSACTIONS.name, value, "anybody")
    assert producer.flush(30) == 0
    publish(events()[half:], stage.broker)
    with stage.worker() as worker:
        finished(stage, worker)
    letters = [DEAD_LETTERS.decode(each.value) for each in stage.records(DEAD_LETTERS)]
    assert Tally(letter.reason for letter in letters) == Tally(reason for _, reason in BAD.values())
    assert_exactly_once(stage, events())
    assert_lag_is_gone(stage)


def test_a_worker_ends_when_nearly_everything_is_bad(stage: Stage) -> None:
    producer = Producer({"bootstrap.servers": stage.broker})
    for n in range(1_000):
        producer.produce(TRANSACTIONS.name, b"{}", str(n))
    assert producer.flush(30) == 0
    with stage.worker() as worker:
        assert worker.wait() == 65, worker.log
    assert "nearly everything is bad" in worker.log


def test_two_workers_share_the_work_and_the_one_that_is_left_does_it_all(stage: Stage) -> None:
    half = len(events()) // 2
    ports = [free_port(), free_port()]
    with stage.worker(metrics_port=str(ports[0])) as stays, stage.worker(metrics_port=str(ports[1])) as dies:
        for worker, port in ((stays, ports[0]), (dies, ports[1])):
            worker.until(lambda port=port: metric(port, "headrace_lane_waiting", lane="features") == [0.0, 0.0])
        publish(events()[:half], stage.broker)
        for worker, port in ((stays, ports[0]), (dies, ports[1])):
            worker.until(lambda port=port: sum(metric(port, "headrace_lane_records_total", lane="fraud")) > 0)
        publish(events()[half:], stage.broker)
        dies.kill()
        finished(stage, stays)
    assert_exactly_once(stage, events())
    assert_lag_is_gone(stage)


def test_a_redis_that_was_away_for_a_while_has_lost_nothing(stage: Stage, folder: Path) -> None:
    port = free_port()
    down(folder, (Part.REDIS,))
    with stage.worker(metrics_port=str(port)) as worker:
        worker.until(lambda: "store away" in worker.log)
        up(folder, (Part.REDIS,))
        half = len(events()) // 2
        publish(events()[:half], stage.broker)
        worker.until(lambda: stage.count(SCORES) > 0)
        down(folder, (Part.REDIS,))
        publish(events()[half:], stage.broker)
        worker.until(lambda: sum(metric(port, "headrace_lane_busy_total")) > 0)
        up(folder, (Part.REDIS,))
        finished(stage, worker)
    assert_exactly_once(stage, events())
    assert_lag_is_gone(stage)


def metric(port: int, name: str, lane: str = "") -> list[float]:
    """Return the values of a worker's metric, for the lanes of one processor or all; none while it is not up."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return []
    found = [line for line in lines if line.startswith(name + "{") and f'processor="{lane}' in line]
    return [float(line.rpartition(" ")[2]) for line in found]
