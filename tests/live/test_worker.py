"""Workers score every payment once in effect, whatever ends them, and whatever their broker and store do meanwhile."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from schemas.records import AnyRecord
from schemas.topics import ALL, SCORES, TRANSACTIONS
from streams.assembly import fraud_pipeline
from streams.publish import publish
from streams.services.supervisor import Part, down, up
from streams.settings import Settings
from streams.simulator import World, simulate
from tests.live.workers import Stage, encoded

pytestmark = pytest.mark.live

WORLD = World(customers=80, terminals=50, days=10, fraud_rate=0.05, label_delay_ms=3 * 86_400_000)
CHOSEN = {"label_window": "3d", "publish_every": "100", "batch": "200"}
SETTINGS = Settings(throw_away=True, **CHOSEN)  # type: ignore[arg-type]


@cache
def events() -> list[AnyRecord]:
    return list(simulate(WORLD))


def payments(records: Sequence[AnyRecord]) -> set[str]:
    return {record.id for record in records if record.topic is TRANSACTIONS}


@pytest.fixture(scope="module")
def folder(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Hold a broker and a Redis of this module's own, since it uses the real topics and stops what it likes."""
    folder = tmp_path_factory.mktemp("worker")
    up(folder, (Part.KAFKA, Part.REDIS))
    yield folder
    down(folder)


@pytest.fixture
def stage(folder: Path) -> Iterator[Stage]:
    found = up(folder, (Part.KAFKA, Part.REDIS))
    assert found.kafka is not None
    assert found.redis is not None
    stage = Stage(found.kafka, found.redis, fraud_pipeline(SETTINGS), folder, CHOSEN)
    with stage.set_up(ALL):
        yield stage


def assert_exactly_once(stage: Stage, records: Sequence[AnyRecord]) -> None:
    """Assert that every payment has its score, and that all that was said and kept equals the journal's replay."""
    said = stage.said(stage.pipeline.outputs)
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
