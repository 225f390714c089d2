"""Tiled windows equal a scan of all events rounded to tile edges, in memory that does not grow with the event rate."""

import random
from math import isnan

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.definitions import Feature
from processors.features import FeatureSet
from processors.tiled_readers import FINALIZE
from processors.tiles import KNOWN_FRAUDS, SKETCH, Partial, Tile, distinct
from processors.trail import Trail
from tests.processors.naive_features import DAY, HOUR, Event, NaiveFeatures, agree, in_tiles
from tests.processors.observing import NOON, observe, one, payment, values
from tests.processors.streams_of_events import LATENESS, Payment, Step, Told, declarations, histories

MINUTE = 60_000


def without_since_last(declared: tuple[Feature, ...], found: list[float]) -> list[float]:
    """Tiles don't remember enough to tell the time since the last event at a time that is not the newest."""
    return [value for feature, value in zip(declared, found, strict=True) if feature.aggregate != "since_last"]


@settings(deadline=None, max_examples=400)
@given(declarations(exact=False), histories(), st.sampled_from((1, HOUR, 3 * DAY)))
def test_every_tiled_feature_equals_a_scan_of_all_events_in_its_tiles(
    declared: tuple[Feature, ...], steps: list[Step], later: int
) -> None:
    features, naive = FeatureSet(declared, LATENESS), NaiveFeatures(declared, LATENESS, in_tiles)
    state = features.new()
    events: list[Event] = []
    for step in steps:
        match step:
            case Payment(event):
                if not naive.observe(event):
                    assert not observe(features, state, event)
                    continue
                events.append(event)
                assert observe(features, state, event)
            case Told(back, fraud):
                about = events[-1 - back % len(events)]
                features.correct(state, about.time, about.event_id, fraud)
                naive.correct(about.event_id, fraud)
        now = events[-1]
        mine, scanned = values(features, state, now), naive.values(now.time, now)
        if now.time < state[0].watched:
            mine, scanned = without_since_last(declared, mine), without_since_last(declared, scanned)
        assert agree(mine, scanned)
    newest = max(events, key=lambda event: event.time)
    assert agree(values(features, state, newest, later), naive.values(newest.time + later, newest))


@settings(deadline=None, max_examples=50)
@given(declarations(exact=False), histories())
def test_a_restored_state_goes_on_as_if_nothing_had_been(declared: tuple[Feature, ...], steps: list[Step]) -> None:
    features = FeatureSet(declared, LATENESS)
    state, restored = features.new(), features.new()
    for step in steps:
        if isinstance(step, Payment):
            observe(features, state, step.event)
            observe(features, restored, step.event)
            features.correct(state, step.event.time, step.event.event_id, step.event.amount > 2_500)
            features.correct(restored, step.event.time, step.event.event_id, step.event.amount > 2_500)
            stored = msgspec.msgpack.encode(restored)
            restored = msgspec.msgpack.decode(stored, type=list[Trail])
            assert msgspec.msgpack.encode(restored) == stored
            assert msgspec.msgpack.encode(state) == stored


partials = st.lists(st.tuples(st.integers(0, 9), st.integers(-5, 5)), max_size=6)


def partial_of(happened: list[tuple[int, int]]) -> Partial:
    partial = Partial()
    for time, value in happened:
        partial.update(time, value, value + 5)
    return partial


@given(partials, partials, partials)
def test_merging_partials_is_updating_one_with_all_values(
    first: list[tuple[int, int]], second: list[tuple[int, int]], third: list[tuple[int, int]]
) -> None:
    together = partial_of(first + second + third)
    one, two, three = partial_of(first), partial_of(second), partial_of(third)
    assert one.merge(two).merge(three) == together
    assert one.merge(two.merge(three)) == together


@pytest.mark.parametrize("aggregate", FINALIZE)
@given(st.lists(partials, min_size=1, max_size=4))
def test_an_aggregate_is_the_same_of_partials_and_of_their_merger(
    aggregate: str, parts: list[list[tuple[int, int]]]
) -> None:
    in_order = [sorted((10 * at + time, value) for time, value in part) for at, part in enumerate(parts)]
    filled = [partial_of(part) for part in in_order if part]
    merged = Partial()
    for partial in filled:
        merged = merged.merge(partial)
    assert FINALIZE[aggregate](filled) == FINALIZE[aggregate]([merged] if filled else [])


@pytest.mark.parametrize("seed", range(5))
def test_many_distinct_values_are_estimated_within_four_standard_errors(seed: int) -> None:
    rng = random.Random(seed)
    tiles = [Partial() for _ in range(4)]
    for number in range(20_000):
        tiles[number % 4].update(number, 0, rng.randrange(1 << 48))
    assert distinct(tiles) == pytest.approx(20_000, rel=4 * 0.063)
    assert all(len(tile.kinds) == SKETCH for tile in tiles)


def test_few_distinct_values_are_counted_exactly() -> None:
    events = [payment(NOON + number, str(number), mcc=str(number % 200)) for number in range(400)]
    assert one(Feature(name="d", aggregate="distinct", of="mcc", window="1h", exact=False), events) == 200


def test_the_tail_is_rounded_to_a_tile_and_the_head_is_not() -> None:
    feature = Feature(name="n", window="1h", exact=False)
    assert one(feature, [payment(NOON), payment(NOON + HOUR + MINUTE - 1)]) == 1
    assert one(feature, [payment(NOON + 1), payment(NOON + HOUR + MINUTE - 1)]) == 2
    assert one(feature, [payment(NOON + 1), payment(NOON + HOUR + MINUTE)]) == 1


def test_nothing_younger_than_the_delay_is_seen() -> None:
    feature = Feature(name="n", window="1h", delay="1h", exact=False)
    assert one(feature, [payment(NOON)], later=HOUR) == 1
    assert one(feature, [payment(NOON + 1)], later=HOUR) == 0
    assert one(feature, [payment(NOON + 1)], later=HOUR + MINUTE - 1) == 1


def test_an_expired_value_is_missing_not_stale() -> None:
    feature = Feature(name="m", aggregate="mean", of="amount", window="7d", ttl="1h", exact=False)
    assert one(feature, [payment(NOON)], later=HOUR) == 1.0
    assert isnan(one(feature, [payment(NOON)], later=HOUR + 1))


def test_a_label_said_twice_or_taken_back_counts_once() -> None:
    features = FeatureSet(
        [Feature(name="r", aggregate="rate", of="fraud", window="7d", exact=False), Feature(name="n", exact=False)]
    )
    state = features.new()
    for number in range(4):
        observe(features, state, payment(NOON + number, str(number)))
    told = [(True, True, 0.25), (True, False, 0.25), (False, True, 0.0), (False, False, 0.0)]
    for fraud, news, rate in told:
        assert features.correct(state, NOON, "0", fraud) == news
        assert values(features, state, payment(NOON + 3))[0] == rate
    assert not features.correct(state, NOON - 30 * DAY, "0", False)


def test_a_label_counts_in_the_lifetime_however_old_its_event() -> None:
    features = FeatureSet([Feature(name="s", aggregate="sum", of="fraud", exact=False)])
    state = features.new()
    observe(features, state, payment(NOON, "old"))
    observe(features, state, payment(NOON + 100 * DAY, "new"))
    assert features.correct(state, NOON, "old", True)
    assert values(features, state, payment(NOON + 100 * DAY)) == [1.0]


def test_labels_without_a_feature_on_them_leave_tiles_alone() -> None:
    features = FeatureSet([Feature(name="n", exact=False)])
    state = features.new()
    observe(features, state, payment(NOON))
    assert not features.correct(state, NOON, "e", True)


def test_a_tile_remembers_only_so_many_frauds_by_id() -> None:
    tile = Tile(0)
    for number in range(KNOWN_FRAUDS + 5):
        tile.label(str(number), True)
    assert tile.known == KNOWN_FRAUDS + 5
    assert len(tile.merge(tile).frauds) == len(tile.frauds) == KNOWN_FRAUDS


def test_memory_does_not_grow_with_the_event_rate() -> None:
    declared = (
        Feature(name="n", window="1h", exact=False),
        Feature(name="m", aggregate="mean", of="amount", window="7d", exact=False),
        Feature(name="d", aggregate="distinct", of="terminal", window="12h", exact=False),
        Feature(name="e", exact=False),
    )

    def size_at(gap: int) -> int:
        features = FeatureSet(declared)
        state = features.new()
        for number in range(8 * DAY // gap):
            observe(
                features, state, payment(NOON + number * gap, str(number), 1 + number % 9, terminal=str(number % 5))
            )
        return len(msgspec.msgpack.encode(state))

    assert size_at(15_000) < 1.2 * size_at(60_000)
