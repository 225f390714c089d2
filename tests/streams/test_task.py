"""A task steps records in their order, and every due before the records that pass it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.customers import CustomerFeatures
from schemas.records import DAY, AnyRecord, Record, Topic
from streams.task import Task
from tests.builders import transaction
from tests.streams.arrivals import AWAY, CORRECTIONS, COUNTS, VISITS, Counted, Guest, Porter, Visit


@pytest.fixture
def task() -> Task:
    return Task(Porter(), {}, {}, partition=3)


def visit(at: int, guest: str = "ann", **places: Any) -> AnyRecord:
    return Record(VISITS, Visit(guest, at), f"{guest}@{at}", **places)


def said(task: Task, *records: AnyRecord) -> list[Counted]:
    return [each.message for record in records for each in task.step(record)]


def test_what_is_said_has_an_id_of_its_cause_and_its_place(task: Task) -> None:
    (first,) = task.step(visit(5))
    assert (first.id, first.topic, first.message) == ("ann@5>porter.0", COUNTS, Counted("ann", 5, 1))
    assert (first.source, first.watermark) == (3, 5)


def test_what_a_due_says_has_an_id_of_its_key_and_time(task: Task) -> None:
    task.step(visit(5))
    gone, other = task.step(visit(100, "bob"))
    assert gone.id == f"ann@{5 + AWAY}>porter.0"
    assert (gone.message, other.message) == (Counted("ann", 5 + AWAY, 1, gone=True), Counted("bob", 100, 1))


def test_dues_are_stepped_in_order_and_before_the_record_that_passes_them(task: Task) -> None:
    said(task, visit(3, "cid"), visit(4, "ann"), visit(4, "bob"))
    told = said(task, visit(100, "ann"))
    assert [(each.guest, each.gone) for each in told] == [("cid", True), ("ann", True), ("bob", True), ("ann", False)]
    assert told[-1].visits == 1


def test_a_due_waits_until_the_watermark_has_passed_it(task: Task) -> None:
    said(task, visit(5))
    assert said(task, visit(5 + AWAY, "bob")) == [Counted("bob", 5 + AWAY, 1)]
    assert said(task, visit(6 + AWAY, "bob"))[0] == Counted("ann", 5 + AWAY, 1, gone=True)


def test_a_due_that_was_put_off_is_not_stepped_at_its_old_time(task: Task) -> None:
    said(task, visit(5), visit(15))
    told = said(task, visit(6 + AWAY, "bob"), visit(16 + AWAY, "bob"))
    assert [each for each in told if each.gone] == [Counted("ann", 15 + AWAY, 2, gone=True)]


def test_a_state_is_forgotten_when_the_processor_says_so(task: Task) -> None:
    said(task, visit(5), visit(100, "bob"))
    assert set(task.states) == {"bob"}
    assert task.states["bob"] == Guest(1, 100 + AWAY)


def test_it_tells_which_states_changed_and_what_they_wait_for(task: Task) -> None:
    said(task, visit(5), visit(6, "bob"))
    task.changed.clear()
    said(task, visit(100, "bob"))
    assert set(task.changed) == {"ann", "bob"}
    assert task.changed_dues() == {"bob": 100 + AWAY}


def test_states_that_wait_for_nothing_have_no_dues() -> None:
    features = Task(CustomerFeatures(), {}, {})
    features.step(Record(CustomerFeatures.inputs[0], transaction(), "a"))
    assert features.changed_dues() == {}
    assert features.due_keys(10**15) == []


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 50)), max_size=20), st.integers(0, 100))
def test_the_keys_due_before_a_time_are_found_without_taking_them_off(
    visits: list[tuple[str, int]], until: int
) -> None:
    task = Task(Porter(), {}, {})
    task.resume(-1, [], {})
    for guest, at in visits:
        task.states.setdefault(guest, Guest(0, None))
        said(task, visit(at, guest))
    waiting = {key: state.due for key, state in task.states.items()}
    found = task.due_keys(until)
    assert {key for key, due in waiting.items() if due < until} <= set(found)
    assert task.due_keys(until) == found


def test_the_watermark_is_the_newest_event_time_less_the_topics_lateness() -> None:
    late = Topic("late", Visit, key=lambda m: m.guest, time=lambda m: m.at, lateness_ms=10)
    task = Task(Porter(), {}, {})
    for at, expected in ((100, 90), (50, 90), (120, 110)):
        task.step(Record(late, Visit("ann", at), "x"))
        assert task.watermark == expected
    assert task.reached == 120


def test_the_watermark_of_a_rekeyed_input_is_that_of_its_slowest_source(task: Task) -> None:
    task.step(visit(100, source=0, watermark=100))
    task.step(visit(40, source=1, watermark=40))
    assert task.watermark == 100
    task.step(visit(200, source=0, watermark=200))
    assert task.watermark == 100
    task.step(visit(150, source=1, watermark=150))
    assert task.watermark == 150


def test_a_source_that_says_an_old_watermark_again_holds_nobody_back(task: Task) -> None:
    for source, watermark in ((0, 100), (1, 100), (1, 40), (0, 120)):
        task.step(visit(10, source=source, watermark=watermark))
    assert task.watermark == 100
    assert task.sources() == [("visits", 0, 120), ("visits", 1, 100)]


def test_a_source_that_fell_silent_holds_the_others_back_by_a_day_at_most(task: Task) -> None:
    task.step(visit(100, source=1, watermark=100))
    task.step(visit(DAY, source=0, watermark=DAY))
    assert task.watermark == 100
    task.step(visit(3 * DAY, source=0, watermark=3 * DAY))
    assert task.watermark == 2 * DAY


def test_sources_of_different_topics_do_not_hold_each_other_back(task: Task) -> None:
    task.step(visit(100, source=0, watermark=100))
    task.step(Record(CORRECTIONS, Visit("ann", 300), "c", source=1, watermark=300))
    assert task.watermark == 300


visits = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 200), st.integers(0, 2)), max_size=30)


@given(visits, st.integers(0, 30))
def test_a_task_resumed_anywhere_goes_on_as_if_it_had_never_stopped(
    stream: list[tuple[str, int, int]], cut: int
) -> None:
    records = [visit(at, guest, source=source, watermark=at) for guest, at, source in stream]
    straight, first = Task(Porter(), {}, {}), Task(Porter(), {}, {})
    expected = said(straight, *records)
    told = said(first, *records[:cut])
    second = Task(Porter(), first.states, {})
    dues = {key: state.due for key, state in first.states.items()}
    second.resume(first.watermark, first.sources(), dues)
    assert told + said(second, *records[cut:]) == expected
    assert second.states == straight.states
    assert second.watermark == straight.watermark
