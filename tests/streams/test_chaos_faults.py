"""What drills do on purpose, and how they judge memory, rows and upgrades, each without a broker."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from schemas.topics import BY_NAME, SCORES
from streams.assembly import fraud_pipeline
from streams.chaos import recordings
from streams.chaos.analysts import differing_rows
from streams.chaos.drill import tasks_of
from streams.chaos.evidence import Said
from streams.chaos.footprint import SHORTEST, Footprint, Use, footprint, use_of
from streams.chaos.hand import HALF_DELIVERED, UNACKNOWLEDGED, half_delivered, mortal, unacknowledged
from streams.chaos.stage import Detour
from streams.chaos.upgrade import CHANGED, UpgradedReplay, upgraded
from streams.outbox import origin
from streams.services import kafka
from streams.settings import Settings
from streams.state_codec import state_codec
from tests.builders import record, transaction
from tests.streams.memory_worker import EDGE, Cluster, MemoryWorker

ROWS = {SCORES.name: Counter(["tx-1", "tx-2"])}


def test_rows_that_are_there_once_each_are_not_complained_about() -> None:
    assert differing_rows(ROWS, ROWS) == []


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (["tx-1"], "lacks 1 rows of scores, and has 0 too many"),
        (["tx-1", "tx-2", "tx-2"], "lacks 0 rows of scores, and has 1 too many"),
        (["tx-1", "tx-9"], "lacks 1 rows of scores, and has 1 too many"),
    ],
    ids=["a missing row", "a row twice", "another row"],
)
def test_a_row_that_is_missing_or_one_too_many_is_told(rows: list[str], complaint: str) -> None:
    assert differing_rows({SCORES.name: Counter(rows)}, ROWS) == [f"ClickHouse {complaint}"]


def life(*megabytes: float, descriptors: Sequence[int] = (40, 40, 40, 40)) -> Footprint:
    """Return the footprint of a life whose quarters took so much."""
    quarter = SHORTEST // 4
    uses = [Use(mb, fds) for mb, fds in zip(megabytes, descriptors, strict=True) for _ in range(quarter)]
    found = footprint(uses, 60.0)
    assert found is not None
    return found


def test_a_worker_that_has_warmed_up_and_stays_is_flat() -> None:
    assert life(90, 180, 200, 210).flat


def test_a_worker_that_keeps_growing_is_not() -> None:
    assert not life(90, 180, 400, 700).flat


def test_nor_is_one_that_leaves_files_open() -> None:
    assert not life(90, 180, 200, 200, descriptors=(40, 40, 60, 90)).flat


def test_a_short_life_tells_nothing() -> None:
    assert footprint([Use(100, 40)] * (SHORTEST - 1), 30.0) is None


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_what_a_process_takes_is_read_while_it_lives() -> None:
    use = use_of(os.getpid())
    assert use is not None
    assert use.mb > 10
    assert use.descriptors > 2
    assert use_of(2**22 + 1) is None


def test_among_the_poison_is_one_good_payment_that_kills() -> None:
    records = recordings.recorded(3, 1_000)
    made = recordings.deadly(records, Random(1))
    [killer] = [n for n, letter in enumerate(made) if recordings.DEADLY.encode() in (letter.value or b"")]
    assert made[killer].id is None
    assert BY_NAME[made[killer].topic].decode(made[killer].value).event_id.startswith(recordings.DEADLY)
    assert 0.7 < killer / len(made) < 0.95
    assert {letter.id for letter in made} - {None} == {each.id for each in records}


def test_a_hand_kills_itself_before_it_steps_what_is_deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    stepped: list[str] = []
    take = mortal(lambda _task, each, _key, _time: stepped.append(each.id) or [])  # type: ignore[func-returns-value]
    task: Any = None
    take(task, record(transaction("tx-1")), "", 0)
    assert (stepped, sent) == (["tx-1"], [])
    take(task, record(transaction(f"{recordings.DEADLY}tx-1")), "", 0)
    assert sent == [(os.getpid(), signal.SIGKILL)]


def test_half_of_what_was_said_is_delivered_when_its_failpoint_is_reached() -> None:
    told: list[Any] = []

    async def produce(_self: Any, _task: str, _sequence: int, said: Sequence[Any]) -> None:
        told.append(list(said))

    anything: Any = [1, 2, 3, 4, 5]
    asyncio.run(half_delivered(produce, told.append)(anything, "features/0", 1, anything))
    assert told == [[1, 2], HALF_DELIVERED, [1, 2, 3, 4, 5]]
    told.clear()
    asyncio.run(half_delivered(produce, told.append)(anything, "features/0", 1, anything[:1]))
    assert told == [[1]]


def test_kafka_is_not_told_yet_when_its_failpoint_is_reached() -> None:
    told: list[Any] = []

    async def acknowledge(_self: Any, offsets: Any, _start: bool) -> bool:
        told.append(offsets)
        return True

    anything: Any = None
    assert asyncio.run(unacknowledged(acknowledge, told.append)(anything, {}, True))
    assert told == [UNACKNOWLEDGED, {}]


def test_an_upgrade_changes_settings_that_there_are_and_tells_who_spoke_before() -> None:
    settings = Settings()
    upgrade = upgraded(settings, {"fraud/0": 7})
    assert set(CHANGED) <= set(Settings.model_fields)
    assert all(getattr(upgrade.settings, name) == value != getattr(settings, name) for name, value in CHANGED.items())
    said = [Said(SCORES.name, 0, "tx-1>fraud.0", b"", task, n, 0) for task, n in (("fraud/0", 7), ("fraud/0", 8))]
    assert [upgrade.is_before(each) for each in said] == [True, False]


def test_the_next_release_reads_its_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = upgraded(Settings(), {})
    for name, value in upgrade.variables.items():
        monkeypatch.setenv(name, value)
    assert Settings() == upgrade.settings


def test_a_broker_takes_lines_of_its_own_that_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "_java", lambda: "java")
    monkeypatch.setattr(kafka, "fetch_jars", lambda cache: cache)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").touch()
    (tmp_path / kafka.OWN_PROPERTIES).write_text(Detour(1111, 2222).properties())
    kafka.command(tmp_path, 9092)
    written = dict(line.split("=", 1) for line in (tmp_path / "server.properties").read_text().splitlines())
    assert written["listeners"].startswith("PLAINTEXT://127.0.0.1:9092,DETOUR://127.0.0.1:1111,CONTROLLER://127.0.0.1:")
    assert written["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9092,DETOUR://127.0.0.1:2222"


def test_a_replay_through_an_upgrade_ends_in_the_states_that_both_releases_have_left() -> None:
    settings = Settings(label_window="3d", publish_every=20)  # type: ignore[arg-type]
    old, log = fraud_pipeline(settings), Cluster()
    first = MemoryWorker(old, log)
    records = recordings.recorded(5, 600)
    first.live(records[:300])
    tasks = tasks_of(old)
    commits = {task: asyncio.run(first.store.claim(task)).sequence for task in tasks}
    upgrade = upgraded(settings, commits)
    MemoryWorker(fraud_pipeline(upgrade.settings), log, first.store).live(records[300:])
    replay = UpgradedReplay(old, upgrade, log, EDGE)
    said = {each.id for each in replay.records()}
    assert said >= {origin(raw.headers).id for raw in log.all_of(SCORES.name) if origin(raw.headers)}  # type: ignore[union-attr]
    for task in replay.tasks.values():
        states = {key: state_codec(task.processor).encode(state) for key, state in task.states.items()}
        name = f"{task.processor.name}/{task.partition}"
        assert asyncio.run(first.store.load(name, list(states))) == list(states.values())
    assert {name.partition("/")[0] for name in replay.tasks} == {each.name for each in old.processors}
