"""Watching a drill from outside: how far tasks have come, that nothing goes back, and how soon work goes on."""

from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread
from time import monotonic, sleep
from typing import Any, NamedTuple

from confluent_kafka import KafkaException
from redis import exceptions

from streams.chaos.crew import Crew
from streams.chaos.evidence import Kept, Marks, Place

SAMPLE_SECONDS = 0.05
COMMITTED_SECONDS = 1.0
MEASURE_SECONDS = 1.0
ASK_SECONDS = 0.5
SETTLE_SECONDS = 4 * SAMPLE_SECONDS
FIRST_HOP = "features/"


class Sample(NamedTuple):
    """How many commits each task had made at a moment of the monotonic clock."""

    at: float
    commits: Mapping[str, int]


class Watch:
    """Samples checkpoints, committed offsets and fences in a thread. Use as a context manager.

    `backwards` tells what went back that never may. `forgetful` is for faults
    after which all is read again.
    """

    def __init__(self, kept: Kept, marks: Marks, crew: Crew, tasks: Sequence[str], forgetful: bool = False) -> None:
        self.backwards: list[str] = []
        self.samples: list[Sample] = []
        self._kept, self._marks, self._crew, self._tasks = kept, marks, crew, tasks
        self._forgetful = forgetful
        self._sequences: dict[str, int] = {}
        self._committed: dict[Place, int] = {}
        self._over: list[Sample] = []
        self._stopped = Event()
        self._threads = [Thread(target=self._repeat, args=each, daemon=True) for each in self._looks()]

    def _looks(self) -> tuple[tuple[Callable[[], None], float], ...]:
        return (
            (self._look_at_checkpoints, SAMPLE_SECONDS),
            (self._look_at_kafka, COMMITTED_SECONDS),
            (self._crew.look, SAMPLE_SECONDS),
            (self._crew.measure, MEASURE_SECONDS),
        )

    def __enter__(self) -> "Watch":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def commits(self) -> int:
        """How many commits all tasks had made when last seen."""
        return sum(self._sequences.values())

    def fault_is_over(self) -> None:
        """Note that from now on nothing but recovery is in the way of the next commit.

        Takes a moment: a commit that was under way is none of the recovery.
        """
        at = monotonic()
        sleep(SETTLE_SECONDS)
        self._over.append(Sample(at, self._sequences))

    def recovery(self) -> float | None:
        """Return the seconds of the longest recovery; see `longest_recovery`."""
        firsts = [task for task in self._tasks if task.startswith(FIRST_HOP)]
        return longest_recovery(self.samples, self._over, firsts)

    def _repeat(self, look: Callable[[], None], seconds: float) -> None:
        while not self._stopped.wait(seconds):
            look()

    def _look_at_checkpoints(self) -> None:
        try:
            found = self._kept.sequences(self._tasks)
        except (exceptions.RedisError, OSError):
            return
        if not self._forgetful:
            self.backwards += gone_back("checkpoint of", self._sequences, found)
        self._sequences = found
        self.samples.append(Sample(monotonic(), found))

    def _look_at_kafka(self) -> None:
        try:
            found = self._marks.committed(ASK_SECONDS)
        except KafkaException:
            return
        if not self._forgetful:
            self.backwards += gone_back("offset of", self._committed, found)
        self._committed = found


def longest_recovery(samples: Sequence[Sample], faults: Sequence[Sample], tasks: Sequence[str]) -> float | None:
    """Return the most seconds from the end of a fault until each task has committed again, of those that did.

    What comes after the end of the next fault is none of this one's. None where no commit has followed any fault.
    """
    ends = [*(fault.at for fault in faults[1:]), float("inf")][: len(faults)]
    found = [_recovery(samples, fault, end, tasks) for fault, end in zip(faults, ends, strict=True)]
    return max((seconds for seconds in found if seconds is not None), default=None)


def _recovery(samples: Sequence[Sample], fault: Sample, end: float, tasks: Sequence[str]) -> float | None:
    later = [each for each in samples if fault.at < each.at < end]
    firsts = (
        next((each.at for each in later if each.commits[task] > fault.commits.get(task, 0)), None) for task in tasks
    )
    last = max((at for at in firsts if at is not None), default=None)
    return None if last is None else last - fault.at


def gone_back(what: str, before: Mapping[Any, int], now: Mapping[Any, int]) -> list[str]:
    """Return a complaint for everything that is less than before."""
    return [
        f"I3: the {what} {name} went back from {value} to {now.get(name, 0)}"
        for name, value in before.items()
        if now.get(name, 0) < value
    ]
