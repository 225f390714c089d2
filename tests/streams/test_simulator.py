"""The simulated world: the same every time, about as fraudulent as asked, and changing when it is told to."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import numpy as np
import pytest

from schemas.records import AnyRecord
from schemas.topics import FEEDBACK, TRANSACTIONS
from streams.fraud_patterns import Pattern
from streams.simulator import World, days, mix, simulate

SMALL = World(seed=3, customers=150, terminals=200, days=40, fraud_rate=0.03)
DRIFTING = replace(SMALL, customers=600, drift=True, days=60)


def stream(world: World) -> list[AnyRecord]:
    return list(simulate(world))


def payments(world: World) -> list[AnyRecord]:
    return [record for record in simulate(world) if record.topic is TRANSACTIONS]


def feedback(world: World) -> list[AnyRecord]:
    return [record for record in simulate(world) if record.topic is FEEDBACK]


def as_bytes(world: World) -> list[bytes]:
    return [record.topic.encode(record.message) for record in islice(simulate(world), 5_000)]


def patterns(world: World, first: int, last: int) -> Counter[int]:
    return Counter(np.concatenate([day.pattern for day in list(days(world))[first:last]]).tolist())


def test_a_world_is_the_same_every_time() -> None:
    assert as_bytes(SMALL) == as_bytes(SMALL)


def test_another_seed_is_another_world() -> None:
    assert as_bytes(SMALL) != as_bytes(replace(SMALL, seed=4))


def test_a_longer_world_begins_like_a_shorter_one() -> None:
    assert as_bytes(replace(SMALL, days=80))[:3_000] == as_bytes(SMALL)[:3_000]


def test_records_come_by_event_time_with_their_place() -> None:
    records = stream(SMALL)
    assert [r.time for r in records] == sorted(r.time for r in records)
    for topic in (TRANSACTIONS, FEEDBACK):
        assert [r.offset for r in records if r.topic is topic] == list(range(sum(r.topic is topic for r in records)))
    assert all(record.id == record.message.event_id for record in records)


def test_days_fall_on_the_calendar_that_was_asked_for() -> None:
    start = datetime(2025, 3, 1, tzinfo=UTC)
    times = [record.message.event_time for record in payments(replace(SMALL, start=start, days=2))]
    assert {time.date().day for time in times} == {1, 2}
    assert min(times) >= start


def test_about_two_payments_a_customer_and_day_and_as_many_frauds_as_asked() -> None:
    world = replace(SMALL, customers=600)
    counts = patterns(world, 0, world.days)
    total = sum(counts.values())
    assert total / world.customers / world.days == pytest.approx(2, rel=0.2)
    assert 1 - counts[Pattern.GENUINE] / total == pytest.approx(world.fraud_rate, rel=0.35)
    assert set(counts) == set(Pattern)


def test_labels_come_after_their_delay() -> None:
    world = replace(SMALL, early_verdicts=0.0)
    paid = {record.id: record.time for record in payments(world)}
    labels = feedback(world)
    assert labels
    assert {label.time - paid[label.message.about] for label in labels} == {world.label_delay_ms}
    assert {label.message.kind for label in labels} == {"chargeback"}


def test_every_fraud_is_known_in_the_end() -> None:
    known = sum(record.message.fraud() for record in feedback(SMALL))
    counts = patterns(SMALL, 0, SMALL.days)
    assert known == sum(counts.values()) - counts[Pattern.GENUINE]


def test_some_verdicts_are_early_and_clear_a_customer() -> None:
    world = replace(SMALL, early_verdicts=0.5)
    paid = {record.id: record.time for record in payments(world)}
    verdicts = [record for record in feedback(world) if record.message.kind == "verdict"]
    assert {record.message.verdict for record in verdicts} == {"fraud", "genuine"}
    assert all(0 < record.time - paid[record.message.about] <= world.label_delay_ms // 2 for record in verdicts)


def test_labels_at_once_are_possible() -> None:
    assert feedback(replace(SMALL, label_delay_ms=0))


def test_duplicates_are_the_same_payment_twice_with_one_label() -> None:
    world = replace(SMALL, duplicates=0.2)
    records = payments(world)
    twice = [n for n in Counter(record.id for record in records).values() if n == 2]
    assert len(twice) / (len(records) - len(twice)) == pytest.approx(0.2, rel=0.2)
    assert len({TRANSACTIONS.encode(record.message) for record in records}) == len(records) - len(twice)
    assert max(Counter(record.message.about for record in feedback(world)).values()) == 1


def test_a_stolen_card_is_tried_small_before_it_is_used() -> None:
    tried = [day.at(np.flatnonzero(day.pattern == Pattern.TESTING)) for day in days(SMALL)]
    amounts = np.concatenate([day.amount for day in tried])
    assert np.mean(amounts <= 3.0) > 0.7
    assert amounts.max() > 50


def test_an_impossible_traveller_pays_elsewhere_with_a_strange_device() -> None:
    for day in days(SMALL):
        trips = day.at(np.flatnonzero(day.pattern == Pattern.TRAVEL))
        assert (trips.device > 0).all()


def test_without_drift_the_mix_of_patterns_stays() -> None:
    assert (mix(SMALL, 0) == mix(SMALL, SMALL.days - 1)).all()


def test_drift_changes_the_mix_and_a_pattern_returns() -> None:
    early, middle, late = (patterns(DRIFTING, first, first + 20) for first in (0, 20, 40))
    assert early[Pattern.LARGE] > 0
    assert middle[Pattern.LARGE] == 0
    assert late[Pattern.LARGE] > 0
    assert early[Pattern.TRAVEL] == 0
    assert late[Pattern.TRAVEL] > 0


def test_drift_brings_new_customers_and_higher_amounts() -> None:
    all_days = list(days(DRIFTING))
    first, last = all_days[0], all_days[-1]
    assert len(set(last.customer.tolist()) - {c for day in all_days[:30] for c in day.customer.tolist()}) > 10
    assert np.median(last.amount) > 1.2 * np.median(first.amount)


def test_new_terminals_open_as_time_goes_on() -> None:
    all_days = list(days(DRIFTING))
    known = {t for day in all_days[:30] for t in day.terminal.tolist()}
    assert any(t not in known for t in all_days[-1].terminal.tolist())


def test_a_tiny_world_works() -> None:
    assert stream(World(customers=1, terminals=1, days=3))
