"""Inputs are merged by event time, and no input is read past one that may still hold something older."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streams.inbound import Inbound
from streams.merge import Merge
from tests.streams.arrivals import CORRECTIONS, VISITS, Visit, arrived

BOTH = {"visits": VISITS, "corrections": CORRECTIONS}


def log(name: str, *times: int) -> list[Inbound]:
    """Return one input's records of these times."""
    return [arrived(BOTH[name], offset, Visit("ann", at)) for offset, at in enumerate(times)]


def places(taken: Sequence[Inbound]) -> list[tuple[str, int]]:
    return [(item.topic.name, item.offset) for item in taken]


def merge(ended: set[str], **logs: Sequence[int]) -> Merge:
    """Return a merge of visits and corrections; those of `ended` have no more in their logs."""
    merged = Merge(["visits", "corrections"], lambda name: name in ended)
    for name, times in logs.items():
        merged.put(name, log(name, *times))
    return merged


def naive(heads: dict[str, list[Inbound]], ended: set[str], until: int) -> list[Inbound]:
    """Return what may be taken, by looking at every head for every record."""
    taken = []
    while all(heads[name] or name in ended for name in heads):
        waiting = [(head[0].time, name != "corrections", name) for name, head in heads.items() if head]
        if not waiting or min(waiting)[0] > until:
            break
        taken.append(heads[min(waiting)[2]].pop(0))
    return taken


ENDS = st.sets(st.sampled_from(["visits", "corrections"]))
TIMES = st.lists(st.integers(0, 12), max_size=12)


@given(TIMES, TIMES, ENDS, st.integers(1, 30), st.integers(0, 14))
def test_records_are_taken_as_the_naive_oracle_takes_them(
    visits: list[int], corrections: list[int], ended: set[str], limit: int, until: int
) -> None:
    expected = naive({"visits": log("visits", *visits), "corrections": log("corrections", *corrections)}, ended, until)
    merged = merge(ended, visits=visits, corrections=corrections)
    assert places(merged.take(limit, until)) == places(expected[:limit])


@given(TIMES, TIMES, st.lists(st.integers(1, 4)))
def test_how_many_are_taken_at_once_changes_no_order(
    visits: list[int], corrections: list[int], limits: list[int]
) -> None:
    ended = {"visits", "corrections"}
    merged = merge(ended, visits=visits, corrections=corrections)
    pieces = [item for limit in (*limits, 100) for item in merged.take(limit)]
    assert places(pieces) == places(merge(ended, visits=visits, corrections=corrections).take(100))


@given(TIMES, TIMES, st.integers(1, 10))
def test_what_is_put_back_is_taken_again(visits: list[int], corrections: list[int], limit: int) -> None:
    merged = merge({"visits", "corrections"}, visits=visits, corrections=corrections)
    taken = merged.take(limit)
    left = len(merged)
    merged.put_back(taken)
    assert len(merged) == left + len(taken)
    assert places(merged.take(limit)) == places(taken)


def test_an_empty_input_is_waited_for_until_its_log_ends() -> None:
    ended: set[str] = set()
    merged = merge(ended, visits=[1, 2])
    assert merged.take(10) == []
    ended.add("corrections")
    assert places(merged.take(10)) == [("visits", 0), ("visits", 1)]


def test_reading_stops_where_an_input_runs_dry_before_its_end() -> None:
    merged = merge({"visits"}, visits=[1, 3, 5], corrections=[2])
    assert places(merged.take(10)) == [("visits", 0), ("corrections", 0)]
    merged.put("corrections", log("corrections", 0, 4)[1:])
    assert places(merged.take(10)) == [("visits", 1), ("corrections", 1)]


def test_of_equal_times_the_input_listed_last_comes_first() -> None:
    merged = merge({"visits", "corrections"}, visits=[5, 5], corrections=[5])
    assert places(merged.take(10)) == [("corrections", 0), ("visits", 0), ("visits", 1)]


def test_the_order_of_one_log_is_kept_whatever_its_times() -> None:
    merged = merge({"visits", "corrections"}, visits=[9, 1, 5], corrections=[2])
    assert places(merged.take(10)) == [("corrections", 0), ("visits", 0), ("visits", 1), ("visits", 2)]


def test_it_tells_how_much_waits_and_the_oldest_head() -> None:
    merged = merge(set(), visits=[7, 9], corrections=[8])
    assert (len(merged), merged.size("visits"), merged.size("corrections"), merged.oldest_time()) == (3, 2, 1, 7)
    assert merge(set()).oldest_time() is None
