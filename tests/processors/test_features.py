"""Declared features over exact windows equal a scan of all events, whatever the order of arrival."""

from math import isnan

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.definitions import Feature
from processors.features import FeatureSet
from processors.trail import CAP, Trail
from tests.processors.naive_features import DAY, HOUR, Event, NaiveFeatures, agree
from tests.processors.observing import NOON, observe, one, payment, values
from tests.processors.streams_of_events import LATENESS, Payment, Step, Told, declarations, histories


@settings(deadline=None, max_examples=400)
@given(declarations(), histories(), st.sampled_from((1, HOUR, 3 * DAY)))
def test_every_feature_equals_a_scan_of_all_events(
    declared: tuple[Feature, ...], steps: list[Step], later: int
) -> None:
    features, naive = FeatureSet(declared, LATENESS), NaiveFeatures(declared, LATENESS)
    state = features.new()
    events: list[Event] = []
    for step in steps:
        match step:
            case Payment(event):
                events.append(event)
                assert observe(features, state, event) == naive.observe(event)
            case Told(back, fraud):
                about = events[-1 - back]
                features.correct(state, about.time, about.event_id, fraud)
                naive.correct(about.event_id, fraud)
        now = events[-1]
        assert agree(values(features, state, now), naive.values(now.time, now))
    newest = max(events, key=lambda event: event.time)
    assert agree(values(features, state, newest, later), naive.values(newest.time + later, newest))
    assert all(trail.late == naive.late for trail in state)


@settings(deadline=None, max_examples=50)
@given(declarations(), histories())
def test_a_restored_state_goes_on_as_if_nothing_had_been(declared: tuple[Feature, ...], steps: list[Step]) -> None:
    features = FeatureSet(declared, LATENESS)
    state, restored = features.new(), features.new()
    for step in steps:
        if isinstance(step, Payment):
            observe(features, state, step.event)
            observe(features, restored, step.event)
            stored = msgspec.msgpack.encode(restored)
            restored = msgspec.msgpack.decode(stored, type=list[Trail])
            assert msgspec.msgpack.encode(restored) == stored
            assert msgspec.msgpack.encode(state) == stored


@pytest.mark.parametrize("gap", [20 * 60_000, 6 * HOUR])
def test_what_has_left_every_window_is_forgotten_and_changes_nothing(gap: int) -> None:
    declared = (
        Feature(name="count", window="1d"),
        Feature(name="mean", aggregate="mean", of="amount", window="7d", delay="1d"),
        Feature(name="rate", aggregate="rate", of="fraud", window="1d", delay="7d"),
    )
    features, naive = FeatureSet(declared, HOUR), NaiveFeatures(declared, HOUR)
    state = features.new()
    for number in range(700):
        event = payment(NOON + number * gap - (number % 3) * gap // 9, str(number), amount=number)
        assert observe(features, state, event) == naive.observe(event)
        if number % 7 == 0:
            features.correct(state, event.time, event.event_id, True)
            naive.correct(event.event_id, True)
        if number % 10 == 0 or number > 690:
            assert agree(values(features, state, event), naive.values(event.time, event))
    assert len(state[0].times) < 700


def test_a_window_holds_the_event_itself_and_not_the_one_a_window_ago() -> None:
    events = [payment(NOON, "first"), payment(NOON + DAY, "second")]
    assert one(Feature(name="n", window="1d"), events) == 1
    assert one(Feature(name="n", window="1d", delay="1d"), events) == 1


def test_events_of_the_same_time_count_in_order_of_arrival() -> None:
    events = [payment(NOON, "first", amount=100), payment(NOON, "second", amount=700)]
    assert one(Feature(name="x", aggregate="last", of="amount", window="1d"), events) == 7.0
    assert one(Feature(name="x", aggregate="first", of="amount", window="1d"), events) == 1.0


def test_euros_and_yen_are_never_added_up() -> None:
    events = [payment(NOON, "a", 100, "EUR"), payment(NOON, "b", 500, "JPY")]
    assert one(Feature(name="s", aggregate="sum", of="amount", window="1d"), events) == 500.0
    assert one(Feature(name="n", window="1d"), events) == 2


def test_the_distinct_amounts_are_counted_not_scaled() -> None:
    events = [payment(NOON, "a", 100), payment(NOON, "b", 100), payment(NOON, "c", 250)]
    assert one(Feature(name="d", aggregate="distinct", of="amount", window="1d"), events) == 2


def test_an_expired_value_is_missing_not_stale() -> None:
    feature = Feature(name="mean", aggregate="mean", of="amount", window="7d", ttl="1h")
    assert one(feature, [payment(NOON)], later=HOUR) == 1.0
    assert isnan(one(feature, [payment(NOON)], later=HOUR + 1))


def test_events_without_the_field_do_not_count_as_zero() -> None:
    feature = Feature(name="north", aggregate="mean", of="latitude", window="1d")
    assert (
        one(feature, [payment(NOON, "a", latitude=48.5), payment(NOON, "b"), payment(NOON, "c", latitude="?")]) == 48.5
    )
    assert one(feature, [payment(NOON, "a", latitude=float("nan"))]) == 0.0


def test_a_value_that_is_no_number_fails_a_filter_on_numbers() -> None:
    feature = Feature(name="n", window="1d", where={"field": "mcc", "at_least": 5000})
    assert one(feature, [payment(NOON, mcc="groceries")]) == 0.0


def test_facts_of_the_event_need_no_history() -> None:
    declared = tuple(Feature(name=fact, calendar=fact) for fact in ("weekend", "night", "hour", "weekday"))
    declared += (Feature(name="amount", aggregate="value", of="amount"), Feature(name="x", aggregate="value", of="x"))
    features, naive = FeatureSet(declared), NaiveFeatures(declared, 0)
    event = payment(NOON, amount=1250, unit="EUR", x=None)
    assert observe(features, features.new(), event)
    assert agree(values(features, features.new(), event), naive.values(event.time, event))


def test_an_event_beyond_the_lateness_is_counted_and_left_out() -> None:
    features = FeatureSet([Feature(name="n")], lateness=HOUR)
    state = features.new()
    assert observe(features, state, payment(NOON, "a"))
    assert observe(features, state, payment(NOON - HOUR, "b"))
    assert not observe(features, state, payment(NOON - HOUR - 1, "c"))
    assert values(features, state, payment(NOON)) == [2.0]
    assert state[0].late == 1


def test_a_label_on_an_unknown_event_or_said_twice_changes_nothing() -> None:
    features = FeatureSet(
        [Feature(name="r", aggregate="rate", of="fraud", window="1d"), Feature(name="n", window="1d")]
    )
    state = features.new()
    observe(features, state, payment(NOON, "a"))
    assert not features.correct(state, NOON, "b", True)
    assert features.correct(state, NOON, "a", True)
    assert not features.correct(state, NOON, "a", True)
    assert values(features, state, payment(NOON)) == [1.0, 1.0]


def test_a_key_too_hot_for_the_cap_drops_its_oldest_events_and_counts_them() -> None:
    features = FeatureSet(
        [
            Feature(name="n", window="7d"),
            Feature(name="s", aggregate="sum", of="amount"),
            Feature(name="late", delay="1h"),
        ]
    )
    state = features.new()
    for number in range(CAP + 1_000):
        event = payment(NOON + number * 100, str(number))
        observe(features, state, event)
    trail = state[0]
    assert len(trail.times) <= CAP
    assert trail.dropped == CAP + 1_000 - len(trail.times)
    assert values(features, state, event)[:2] == [len(trail.times), CAP + 1_000]
