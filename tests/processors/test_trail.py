"""A trail keeps no more of its events than somebody asks for, and tells the same."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from processors.definitions import Feature
from processors.features import FeatureSet
from processors.trail import CHUNK, Trail
from tests.processors.naive_features import DAY

MONEY = (Feature(name="mean", aggregate="mean", of="amount", window="7d"),)
OUTCOMES = (Feature(name="rate", aggregate="rate", of="fraud", window="7d"),)
EVENTS = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["EUR", "EUR", "EUR", "JPY"])), min_size=1, max_size=60)


def trail_of(declared: tuple[Feature, ...], events: list[tuple[int, str]]) -> Trail:
    """Return the trail of events at (day, unit), with the lateness too long for any to be refused."""
    features = FeatureSet(declared, lateness=100 * DAY)
    state = features.new()
    for number, (day, unit) in enumerate(events):
        features.observe(state, day * DAY, str(number), unit, {"amount": number, "fraud": 0})
    return state[0]


@given(EVENTS)
def test_every_event_keeps_its_unit_whatever_the_order_of_arrival(events: list[tuple[int, str]]) -> None:
    trail = trail_of(MONEY, events)
    trail = msgspec.msgpack.decode(msgspec.msgpack.encode(trail), type=Trail)
    units = [unit for _, unit in sorted(events, key=lambda event: event[0])]
    assert [trail.unit_of(at) for at in range(len(trail.times))] == units


def test_units_are_kept_once_there_are_two() -> None:
    assert trail_of(MONEY, [(1, "EUR"), (2, "EUR")]).units == []
    assert trail_of(MONEY, [(1, "EUR"), (2, "EUR"), (3, "JPY")]).units == ["EUR", "EUR", "JPY"]


def test_a_trail_that_was_emptied_takes_another_unit() -> None:
    features = FeatureSet(MONEY, lateness=DAY)
    state = features.new()
    for number in range(CHUNK + 1):
        features.observe(state, number, str(number), "EUR", {"amount": 100})
    features.observe(state, 40 * DAY, "after", "JPY", {"amount": 7})
    features.observe(state, 41 * DAY, "more", "JPY", {"amount": 9})
    assert [state[0].unit_of(at) for at in range(len(state[0].times))] == ["JPY", "JPY"]
    assert features.values(state, 41 * DAY, "JPY", {}) == [8.0]


def test_ids_are_kept_where_labels_look_for_them() -> None:
    events = [(1, "EUR"), (3, "EUR"), (2, "EUR")]
    assert trail_of(MONEY, events).ids == []
    assert trail_of(OUTCOMES, events).ids == ["0", "2", "1"]
