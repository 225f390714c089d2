"""The benchmarks of load measure what they say: which rate is held, what a flood loses, how soon another takes over."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from redis import Redis

from benchmarks import takeover as benchmark
from benchmarks.load import backlog, compared, highest, published
from benchmarks.payments import Payments
from benchmarks.population import populated
from benchmarks.samples import Sample, descriptors, megabytes, slope
from benchmarks.soak import told_of
from benchmarks.takeover import TASKS, Place, places, watched
from processors.base import AnyProcessor
from streams.assembly import fraud_pipeline
from streams.bench_screen import table
from streams.chaos.ledger import Publishing
from streams.settings import Settings
from streams.state_codec import state_codec


@pytest.mark.parametrize(
    ("limit", "found", "tried"),
    [
        (330, 300, [100, 200, 400, 300, 350]),
        (100, 100, [100, 200, 150, 125]),
        (60, 50, [100, 50, 75, 62]),
        (30, 25, [100, 50, 25, 37, 31]),
        (10, 0, [100, 50, 25]),
    ],
)
def test_the_highest_rate_is_found_by_doubling_and_then_halving_the_gap(
    limit: int, found: int, tried: list[int]
) -> None:
    asked: list[int] = []

    def holds(rate: int) -> bool:
        asked.append(rate)
        return rate <= limit

    assert (highest(holds), asked) == (found, tried)


def test_a_backlog_is_what_had_no_score_when_the_last_payment_was_due() -> None:
    assert backlog(np.array([1.0, 1.0, 1.0]), 1_000) == 1
    assert backlog(np.full(100, 50.0), 1_000) == 50
    assert backlog(np.linspace(0, 5_000, 101), 100) > 50


def test_a_payment_without_a_score_is_lost_and_one_with_two_is_doubled() -> None:
    assert compared(["a", "b"], ["a", "b", "earlier"]) == (0, 0)
    assert compared(["a", "b", "c"], ["a", "a", "b"]) == (1, 1)


def test_payments_are_in_time_order_and_frauds_become_known_a_week_later() -> None:
    payments = Payments(customers=10, terminals=5, gap_ms=600_000.0)
    due = payments.take(3_000)
    events = [json.loads(each.transaction[1]) for each in due]
    times = [event["event_time"] for event in events]
    told = {
        json.loads(value)["about"]: (json.loads(value), n) for n, each in enumerate(due) for _, value in each.feedback
    }
    assert times == sorted(times)
    assert [event["event_id"] for event in events] == [str(n) for n in range(3_000)]
    assert len({event["user"] for event in events}) == 10
    assert told
    for about, (feedback, n) in told.items():
        assert feedback["event_time"] == pytest.approx(times[int(about)] + 7 * 86_400_000, abs=1)
        assert feedback["event_time"] <= times[n] + 1


def test_letters_go_on_where_payments_ended_and_only_payments_have_ids() -> None:
    payments = Payments(customers=10, gap_ms=3_600_000.0)
    payments.take(500)
    letters = payments.letters(200)
    assert [each.id for each in letters if each.topic == "transactions"] == [str(n) for n in range(500, 700)]
    assert {each.id for each in letters if each.topic == "feedback"} == {None}


def test_a_slope_tells_growth_an_hour_and_how_sure_it_is() -> None:
    at = np.arange(0.0, 600.0, 2.0)
    noise = np.random.default_rng(1).normal(0, 1, len(at))
    found = slope(at.tolist(), (200 + at / 3_600 * 30 + noise).tolist())
    assert abs(found.per_hour - 30) < found.plus_minus < 5
    assert slope([1.0, 2.0], [1.0, 2.0]).plus_minus == float("inf")


def test_a_soak_tells_where_it_began_and_ended_and_what_grew_in_its_second_half() -> None:
    samples = [Sample(float(n), 100.0 if n < 50 else 50.0 + n, 20 + n % 2, n % 7, n % 3) for n in range(100)]
    found = told_of(samples)
    assert (found["megabytes_first"], found["megabytes_half"], found["megabytes_last"]) == (100, 100, 149)
    assert (found["megabytes_per_hour"], found["megabytes_per_hour_plus_minus"]) == (3_600, 0)
    assert found["descriptors_per_hour_plus_minus"] > abs(found["descriptors_per_hour"])
    assert (found["descriptors_most"], found["most_lag"], found["most_buffered"]) == (21, 2, 6)


def test_a_process_tells_what_it_holds() -> None:
    before = descriptors(os.getpid())
    with Path(os.devnull).open():
        assert descriptors(os.getpid()) == before + 1
    assert megabytes(os.getpid()) > 10


def test_figures_that_differ_from_part_to_part_are_a_row_each() -> None:
    shown = table("load", {"100/s": {"p50_ms": 1.0, "p99_ms": 2.0, "held": True}, "flood": {"lost": 0}})
    assert shown.row_count == 4
    assert table("api", {"scores": {"p50_ms": 1.0}, "constant": {"p50_ms": 2.0}}).row_count == 2


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client
        client.flushdb()


def stored(redis: Any, processor: AnyProcessor) -> dict[str, bytes]:
    keys = [key for part in range(4) for key in redis.keys(f"hr:{{{processor.name}/{part}}}:state:*")]
    return {key.decode().rpartition(":")[2]: redis.get(key) for key in keys}


def stored_dues(redis: Any, processor: AnyProcessor) -> dict[str, float]:
    sets = [redis.zrange(f"hr:{{{processor.name}/{part}}}:dues", 0, -1, withscores=True) for part in range(4)]
    return {key.decode(): due for each in sets for key, due in each}


def test_a_population_is_states_that_a_worker_reads_with_the_times_they_are_due(redis_url: str, redis: Redis) -> None:
    told: list[str] = []
    populated(redis_url, 20, 10, told.append)
    features, _, outcomes, _ = fraud_pipeline(Settings()).processors
    customers, waiting = stored(redis, features), stored(redis, outcomes)
    assert set(customers) == {f"c{n}" for n in range(20)}
    assert {state_codec(features).decode(state).first_seen for state in customers.values()}
    dues = stored_dues(redis, outcomes)
    assert dues == {key: state_codec(outcomes).decode(state).due for key, state in waiting.items()}
    assert len(dues) == 10
    assert told == ["20 states of features in Redis", "10 states of outcomes in Redis"]


def test_a_take_over_is_from_the_new_claim_to_the_first_commit_under_it(redis: Redis) -> None:
    keys = {task: f"hr:{{{task}}}:checkpoint" for task in TASKS}
    for key in keys.values():
        redis.hset(key, mapping={"epoch": 1, "sequence": 7})
    before = places(redis)
    assert before == dict.fromkeys(TASKS, Place(1, 7))

    def owner() -> None:
        for at, key in enumerate(keys.values()):
            redis.hset(key, mapping={"epoch": 2_000_000 + at})
            time.sleep(4 * benchmark.POLL_SECONDS)
            redis.hset(key, mapping={"sequence": 8})

    thread, started = Thread(target=owner), time.time()
    thread.start()
    seen = watched(redis, before)
    thread.join()
    assert seen.claimed == {task: 2 + at / 1e6 for at, task in enumerate(TASKS)}
    assert all(started < at <= time.time() for at in seen.scored.values())


def test_a_take_over_that_does_not_come_is_an_error(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(RuntimeError, match=r"\['fraud/0', .*\] did not score 0 s after the kill"):
        watched(redis, places(redis))


def test_what_the_broker_refuses_is_an_error() -> None:
    publishing = Publishing("127.0.0.1:1", [], 1.0)
    publishing.refused.append("7: Broker: Message size too large")
    with pytest.raises(RuntimeError, match="refused 1 messages: 7"):
        published(publishing)
