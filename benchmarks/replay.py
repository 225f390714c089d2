"""Events per second of the in-process engine: real card transactions through the default full path.

Reading, features, scores with their reasons, outcomes and learning on one core; nothing is stored. Chargebacks come a
week after their frauds. The first tenth of the events does not count, so that compiling does not. With stages, the run
goes under cProfile, which makes it slower than it is: then only the shares mean something.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.transactions import card_transactions
from schemas.records import AnyRecord
from schemas.topics import TRANSACTIONS
from streams.assembly import fraud_pipeline
from streams.collector import spare_keyed_state
from streams.commands.evaluate import CARD_TRANSACTIONS
from streams.evaluation import labelled_sources
from streams.files import row_count
from streams.mappings import Mapping as FileMapping
from streams.replay import Replay
from streams.settings import Settings
from streams.simulator import World, simulate

TOLD_EVERY = 10_000
SIMULATED = World(customers=1_500, terminals=2_500, days=90)
SIMULATED_EVENTS = 200_000
STAGES = {
    "features": "processors/customers.py:step",
    "scoring": "processors/fraud.py:step",
    "outcomes": "processors/outcomes.py:step",
    "learning": "processors/learning.py:step",
    "engine": "streams/replay.py:step",
}

Told = Callable[[int], None]


def replay_pace(events: int | None = None, told: Told = lambda _: None) -> dict[str, float | str]:
    """Return the pace over the first `events` transactions, all of them for None.

    `events_per_second` is by the clock on the wall, `events_per_core_second` by processor time.
    """
    count = events or available()
    run = Run(source(), told)
    with collector_as_in_a_worker():
        run.step(count // 10)
        wall, core = time.perf_counter(), time.process_time()
        run.step(count - run.done)
        wall, core = time.perf_counter() - wall, time.process_time() - core
    measured = run.done - count // 10
    return {
        "events_per_second": round(measured / wall),
        "events_per_core_second": round(measured / core),
        "events": measured,
        "data": "card_transactions" if card_transactions() else "simulated",
    }


def replay_stages(events: int, told: Told = lambda _: None) -> dict[str, float]:
    """Return each stage's share of the time; `engine` is what is left of a step, `reading` what is outside of it."""
    run, profile = Run(source(), told), cProfile.Profile()
    with collector_as_in_a_worker():
        run.step(events // 10)
        with profile:
            run.step(events - run.done)
    return shares(pstats.Stats(profile))


class Run:
    """A replay that goes on where it stopped; `told` hears now and then how many transactions are `done`."""

    def __init__(self, records: Iterator[AnyRecord], told: Told) -> None:
        self.done = 0
        self.engine = Replay(fraud_pipeline(Settings()))
        self._records = records
        self._told = told

    def step(self, transactions: int) -> None:
        """Step so many transactions more, and the feedback between them; fewer where there are no more."""
        until = self.done + transactions
        while self.done < until and (record := next(self._records, None)) is not None:
            self.done += record.topic is TRANSACTIONS
            deque(self.engine.step(record), maxlen=0)
            if self.done % TOLD_EVERY == 0:
                self._told(self.done)


def shares(stats: pstats.Stats) -> dict[str, float]:
    """Return each stage's share of the profiled time, in [0, 1]; they add up to one."""
    total = stats.total_tt  # type: ignore[attr-defined]
    cumulative = dict.fromkeys(STAGES, 0.0)
    for (file, _, function), (_, _, _, seconds, _) in stats.stats.items():  # type: ignore[attr-defined]
        where = f"{'/'.join(Path(file).parts[-2:])}:{function}"
        for stage, place in STAGES.items():
            cumulative[stage] += seconds if where == place else 0.0
    cumulative["reading"] = total - cumulative["engine"]
    cumulative["engine"] -= sum(seconds for stage, seconds in cumulative.items() if stage not in ("engine", "reading"))
    return {stage: round(seconds / total, 3) for stage, seconds in cumulative.items()}


def source() -> Iterator[AnyRecord]:
    """Return the card transactions with their chargebacks where `$HEADRACE_DATA` has them, else simulated ones."""
    folder = card_transactions()
    if folder is None:
        return simulate(SIMULATED)
    mapping = FileMapping.load(CARD_TRANSACTIONS)
    return labelled_sources(sorted(folder.glob("*.parquet")), mapping, Settings().label_window)[0]


def available() -> int:
    """Return how many transactions there are in all."""
    folder = card_transactions()
    if folder is None:
        return SIMULATED_EVENTS
    return sum(row_count(path) or 0 for path in folder.glob("*.parquet"))


@contextmanager
def collector_as_in_a_worker() -> Iterator[None]:
    """Have Python's garbage collector set up as a worker does for the length of the block."""
    before = gc.get_threshold()
    spare_keyed_state()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
