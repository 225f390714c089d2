"""A worker ends itself when it has stalled or when nearly everything is bad, and not a moment sooner."""

import time
from typing import Any

import pytest
from faust.types import TP

from streams.inflow import Inflow
from streams.lane import Lane
from streams.watchdog import KILLED, POISONED, STALLED, Breaker, Watchdog, failpoint
from tests.streams.test_lane import House, logs

LONG_AGO = 1.0


class Behind(Inflow):
    """An inflow of which the lane is behind, or not."""

    def __init__(self, behind: bool) -> None:
        super().__init__(1, 1)
        self._behind = behind

    def behind(self, lane: str, tp: TP) -> bool:
        return self._behind


def lane(waiting: int = 0) -> Lane:
    """Return a lane that has not got on for long."""
    found = House({}).lane()
    found.put("visits", logs([("ann", n) for n in range(waiting)])["visits"])
    found.last_progress = LONG_AGO
    return found


def watchdog(*lanes: Lane, behind: bool = False, **changed: Any) -> tuple[Watchdog, list[int]]:
    """Return a watchdog of lanes that were assigned, and what it ends the process with."""
    ended: list[int] = []
    found = Watchdog({(each.name, 0): each for each in lanes}, Behind(behind), 60_000, ended.append, **changed)
    found.settle()
    return found, ended


def test_a_lane_with_records_that_does_not_get_on_has_stalled() -> None:
    dog, ended = watchdog(lane(waiting=1))
    assert dog.stalled() == "porter/0"
    dog.watch()
    assert ended == [STALLED]


def test_a_lane_that_is_behind_its_log_and_is_given_nothing_has_stalled() -> None:
    dog, ended = watchdog(lane(), behind=True)
    dog.watch()
    assert ended == [STALLED]


def test_a_lane_without_work_has_not_stalled_and_starts_anew() -> None:
    idle = lane()
    dog, ended = watchdog(idle)
    dog.watch()
    assert ended == []
    assert idle.last_progress > time.time() - 60


def test_a_lane_that_got_on_lately_has_not_stalled() -> None:
    busy = lane(waiting=1)
    busy.last_progress = time.time()
    dog, ended = watchdog(busy)
    dog.watch()
    assert (dog.stalled(), ended) == (None, [])


def test_a_worker_that_is_given_no_partitions_in_time_has_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    dog = Watchdog({}, Behind(False), 0, ended.append)
    monkeypatch.setattr("streams.watchdog.time", lambda: time.time() + 1)
    assert dog.stalled() == "assignment"
    dog.watch()
    assert ended == [STALLED]
    dog.settle()
    assert dog.stalled() is None


def test_partitions_that_are_expected_anew_have_their_time() -> None:
    dog, _ = watchdog()
    dog.expect_assignment()
    assert dog.stalled() is None


@pytest.mark.parametrize(("bad", "ended"), [(949, []), (950, [POISONED]), (1_000, [POISONED])])
def test_the_breaker_ends_the_process_when_nearly_all_of_a_thousand_are_bad(bad: int, ended: list[int]) -> None:
    told: list[int] = []
    breaker = Breaker(told.append)
    breaker.count(999, bad - 1)
    assert told == []
    breaker.count(1, 1)
    assert told == ended


def test_the_breaker_judges_every_thousand_by_itself() -> None:
    told: list[int] = []
    breaker = Breaker(told.append)
    for bad in (0, 1_000):
        breaker.count(1_000, bad)
    assert told == [POISONED]


def test_a_failpoint_dies_at_its_step_and_at_no_other() -> None:
    told: list[int] = []
    reached = failpoint("committed@3", told.append)
    for step in ("stepped", "committed", "committed", "produced"):
        reached(step)
    assert told == []
    reached("committed")
    assert told == [KILLED]


def test_a_failpoint_without_a_number_dies_the_first_time() -> None:
    told: list[int] = []
    failpoint("stepped", told.append)("stepped")
    failpoint("", told.append)("stepped")
    assert told == [KILLED]


def test_a_stalled_lane_is_described() -> None:
    stuck = lane(waiting=2)
    dog, _ = watchdog(stuck)
    told = dog.described("porter/0")
    assert told["waiting"] == {"visits": 2, "corrections": 0}
    assert dog.described("assignment") == {}
