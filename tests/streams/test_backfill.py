"""History stepped by itself leaves each task as a live worker would have."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.privacy import Tokeniser
from schemas.records import DAY, AnyRecord, AnyTopic
from schemas.topics import ALL, CARD_FEATURES, FEEDBACK, MODELS, SCORES, TRANSACTIONS
from sinks.memory_store import MemoryStore
from sinks.serving import Reader
from sinks.store import Position
from streams import handover
from streams.assembly import fraud_pipeline
from streams.backfill import Backfill, History, PartitionedReplay, known_by_the_last
from streams.batch import Meta
from streams.handover import Handover, places
from streams.kafka_log import Stored
from streams.mappings import Mapping
from streams.outbox import Outbound
from streams.partitioning import murmur2, partition_of
from streams.pipeline import Pipeline
from streams.replay import Replay
from streams.settings import Settings
from streams.simulator import World, simulate
from streams.state_codec import state_codec
from tests.builders import NOON, feedback, record, transaction
from tests.streams.arrivals import VISITS, Porter, Visit

SETTINGS = Settings(label_window=DAY, publish_every=300)
WORLD = World(customers=150, terminals=60, days=12, fraud_rate=0.05, label_delay_ms=DAY)
FOUR = {topic.name: 4 for topic in ALL}


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        ("21", -973932308),
        ("abc", 479470107),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ],
)
def test_keys_hash_as_in_kafkas_own_tests(key: str, signed: int) -> None:
    assert murmur2(key.encode()) == signed % 2**32


@given(st.text(), st.integers(1, 50))
def test_every_key_has_a_partition(key: str, count: int) -> None:
    assert 0 <= partition_of(key, count) < count


def stepped(records: Sequence[AnyRecord]) -> Backfill:
    backfill = Backfill(PartitionedReplay(fraud_pipeline(SETTINGS), FOUR))
    for each in records:
        backfill.step(each)
    return backfill


@pytest.fixture(scope="module")
def world() -> list[AnyRecord]:
    return list(simulate(WORLD))


@pytest.fixture(scope="module")
def backfill(world: list[AnyRecord]) -> Backfill:
    return stepped(world)


def test_partitions_change_nothing_about_what_is_said_of_customers(world: list[AnyRecord]) -> None:
    one, four = Replay(fraud_pipeline(SETTINGS)), PartitionedReplay(fraud_pipeline(SETTINGS), FOUR)
    for each in world:
        alone = [said.message.customer for said in one.step(each) if said.topic is CARD_FEATURES]
        parted = [said.message.customer for _, said in four.step(each) if said.topic is CARD_FEATURES]
        assert str(alone) == str(parted)


def test_every_state_is_in_the_partition_of_its_key(backfill: Backfill) -> None:
    for task in backfill.engine.tasks.values():
        assert {partition_of(key, 4) for key in task.states} <= {task.partition}


def test_history_ends_a_millisecond_after_its_newest_event(backfill: Backfill, world: list[AnyRecord]) -> None:
    assert backfill.until == max(each.time for each in world) + 1
    assert backfill.events == backfill.scores == sum(each.topic is TRANSACTIONS for each in world)


def test_only_recent_results_are_kept_for_readers() -> None:
    backfill = stepped([record(transaction(f"tx-{day}", NOON + day * DAY)) for day in range(10)])
    kept = [said.message.event_id for _, said in backfill.recent if said.topic is SCORES]
    assert kept == [f"tx-{day}" for day in range(3, 10)]


def test_labels_that_come_after_the_last_payment_are_not_history() -> None:
    payment, later = record(transaction()), record(transaction("tx-2", NOON + DAY))
    early, late = record(feedback(at=NOON + 1)), record(feedback(at=NOON + 2 * DAY))
    assert list(known_by_the_last([payment, early, later, late])) == [payment, early, later]


class Told:
    """A producer that remembers what it was given."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int, Outbound]] = []

    async def produce(self, task: str, sequence: int, said: Sequence[Outbound]) -> None:
        self.said += [(task, sequence, each) for each in said]


def handed_over(backfill: Backfill, taken: dict[Position, int]) -> tuple[MemoryStore, Told, Handover]:
    store, told = MemoryStore(), Told()
    written = Handover(backfill, store, told)  # type: ignore[arg-type]
    asyncio.run(written.write(taken))
    return store, told, written


@pytest.mark.parametrize("chunk", [7, 5_000])
def test_what_is_handed_over_is_what_tasks_hold(
    backfill: Backfill, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "CHUNK", chunk)
    taken = {Position("transactions", 2): 41, Position("feedback", 2): 6}
    store, _, written = handed_over(backfill, taken)
    for name, task in backfill.engine.tasks.items():
        claim = asyncio.run(store.claim(name))
        meta = msgspec.msgpack.decode(claim.meta, type=Meta)
        assert (meta.watermark, meta.sources) == (task.watermark, task.sources())
        assert claim.outbox == b""
        codec, keys = state_codec(task.processor), list(task.states)
        assert asyncio.run(store.load(name, keys)) == [codec.encode(task.states[key]) for key in keys]
        task.changed = dict.fromkeys(keys)
        assert claim.dues == task.changed_dues()
        if name == "features/2":
            assert claim.offsets == {Position("transactions", 2): 41}
    assert written.states == sum(len(task.states) for task in backfill.engine.tasks.values())


def test_only_the_newest_version_of_a_model_is_produced_and_all_recent_ones_are_served(backfill: Backfill) -> None:
    store, told, _ = handed_over(backfill, {})
    ((task, _, said),) = told.said
    newest = MODELS.decode(said.value)
    assert task.startswith("learning/")
    assert newest.version == backfill.counts["models"] > 1
    reader = Reader(store.values)
    assert asyncio.run(reader.model_version("fraud", newest.version)) == said.value
    assert asyncio.run(reader.model_version("fraud", 1)) is not None
    assert set(asyncio.run(reader.progress())) == {"features", "fraud", "outcomes", "learning"}


class Topics:
    """A log in memory of one partition, the values of each topic."""

    def __init__(self, values: dict[str, list[bytes]]) -> None:
        self._values = values

    def ends(self, topic: str) -> dict[int, int]:
        return {0: len(self._values.get(topic, []))}

    def read(self, topic: str, _partition: int, first: int, last: int) -> list[Stored]:
        stored = enumerate(self._values.get(topic, []))
        return [Stored(offset, 0, b"", value, ()) for offset, value in stored if first <= offset <= last]


def visited(topic: AnyTopic, *times: int) -> list[bytes]:
    return [topic.encode(Visit("ann", at)) for at in times]


def test_workers_go_on_at_the_first_event_since_and_at_the_end_of_what_tasks_say() -> None:
    log = Topics({"visits": [*visited(VISITS, 10, 20), b"no visit", *visited(VISITS, 30, 25)]})
    taken, live = places(Pipeline((Porter(),)), log, 25, {"visits"})
    assert live == {"visits": {0: 3}, "corrections": {0: 0}}
    assert taken == {Position("visits", 0): 2}
    assert places(Pipeline((Porter(),)), log, 99, {"visits"})[1]["visits"] == {0: 5}


def test_what_tasks_say_to_each_other_is_read_from_its_end() -> None:
    log = Topics({"scores": [b"old"] * 8, "feedback": [b"{}"] * 3})
    taken, live = places(fraud_pipeline(SETTINGS), log, 0, {"transactions"})
    assert taken == {Position("scores", 0): 7}
    assert live == {"transactions": {0: 0}, "feedback": {0: 0}, "model-orders": {0: 0}}


def rows(path: Path, *days: int) -> Path:
    fields = [{"event_id": f"tx-{day}", "user": "ann", "terminal": "t", "amount": "1.00"} for day in days]
    times = [{"event_time": NOON + day * DAY, "currency": "EUR", "fraud": day % 2} for day in days]
    path.write_bytes(b"".join(orjson.dumps(each | at) + b"\n" for each, at in zip(fields, times, strict=True)))
    return path


def test_history_of_several_files_has_each_label_in_its_time(tmp_path: Path) -> None:
    mapping = Mapping.model_validate(
        {
            "topic": "transactions",
            "fields": {name: name for name in ("event_id", "user", "terminal", "amount", "event_time", "currency")},
            "label": {"column": "fraud"},
        }
    )
    files = [rows(tmp_path / "a.jsonl", 0, 1), rows(tmp_path / "b.jsonl", 2, 3, 4)]
    history = History(files, mapping, 2 * DAY, Tokeniser({"1": b"key"}))
    told = [(each.topic.name[0], (each.time - NOON) // DAY) for each in history.records()]
    assert told == [("t", 0), ("t", 1), ("t", 2), ("f", 3), ("t", 3), ("t", 4)]
    assert history.covers == {TRANSACTIONS.name, FEEDBACK.name}


def test_history_without_a_mapping_has_no_labels_and_hides_cards(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(TRANSACTIONS.encode(transaction(card="4000000000000000")) + b"\n")
    history = History([path], None, DAY, Tokeniser({"1": b"key"}))
    (payment,) = history.records()
    assert payment.message.card != "4000000000000000"
    assert history.covers == {TRANSACTIONS.name}
