"""How much one worker holds, what it does with ten times of that, and what two workers and more customers change.

`held` is the highest rate at which 99 of 100 payments can be read in Redis within 100 ms of when they were due, and no
backlog stays: rates are doubled until one is not held, then halved in between. Each is sent for some seconds, an open
loop as `headrace bench latency` has it.

`flood` offers ten times that rate, 1,000 at least, for a while, keeps a ledger of what the broker acknowledged, and
looks at the worker meanwhile: what is buffered is bounded, memory is flat, and in the end every payment in the ledger
has its score.

`scaling` and `keys` are the payments a second at which a backlog is scored: by one and by two workers, and by one that
finds the states of so many customers in Redis. The machine's cores are told beside: broker, Redis, workers and whoever
sends share them.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from redis import Redis

from benchmarks.latency import Milliseconds, Stage, open_loop
from benchmarks.payments import Payments
from benchmarks.population import populated
from benchmarks.samples import Sampler, megabytes
from benchmarks.site import Site, Worker, own_site
from schemas.topics import TRANSACTIONS
from sinks.serving import score_key
from streams.chaos.ledger import Publishing, Write

BUDGET_MS = 100.0
BACKLOG_SECONDS = 0.5
FIRST_RATE = 100
LEAST_RATE = 25
REFINEMENTS = 2
WARM = 15_000
FLOOD_TIMES = 10
FLOOD_SECONDS = 10
BACKLOG = 15_000
KEYS = (1_000, 100_000, 1_000_000)
SAMPLE_SECONDS = 0.5

Told = Callable[[str], None]
Figures = dict[str, Any]


class Plan(NamedTuple):
    """What is measured: for how long each rate is sent, these rates or those that a search comes to, and these keys."""

    seconds: int = 15
    rates: Sequence[int] = ()
    keys: Sequence[int] = KEYS


def load(plan: Plan = Plan(), told: Told = lambda _: None) -> dict[str, Figures]:
    """Return the figures of every part. Raises RuntimeError where a worker ends or a score does not come."""
    told("Kafka and Redis")
    with own_site() as site:
        found: dict[str, Figures] = {"machine": {"cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}}
        payments, one = Payments(), site.cleared()
        with one.workers() as (worker,):
            told(f"{WARM:,} payments ahead")
            one.warmed(worker, payments.take(WARM))
            steps = Steps(one, payments, plan.seconds, told)
            held = max((rate for rate in plan.rates if steps.holds(rate)), default=0) if plan.rates else steps.search()
            found |= {f"{rate}/s": figures for rate, figures in sorted(steps.found.items())}
            told("ten times as much")
            found["flood"] = {"held_rate": held} | flood(one, worker, payments, FLOOD_TIMES * max(held, FIRST_RATE))
        found |= scaling(site, told)
        found |= with_keys(site, plan.keys, told)
    return found


class Steps:
    """Sends payments at one rate after the other, and tells which are held."""

    def __init__(self, site: Site, payments: Payments, seconds: int, told: Told) -> None:
        self.found: dict[int, Figures] = {}
        self._site = site
        self._payments = payments
        self._seconds = seconds
        self._told = told

    def holds(self, rate: int) -> bool:
        """Return whether a rate is held."""
        self._told(f"{rate} payments a second")
        stage = Stage(self._site.broker, self._site.redis, rate, rate * self._seconds)
        due = self._payments.take(stage.events)
        latencies = open_loop(stage, TRANSACTIONS.name, due, score_key("default", ""))
        p50, p99 = np.percentile(latencies, (50, 99)).tolist()
        left = backlog(latencies, rate)
        held = p99 <= BUDGET_MS and left <= rate * BACKLOG_SECONDS
        self.found[rate] = {"p50_ms": round(p50, 1), "p99_ms": round(p99, 1), "backlog": left, "held": held}
        return bool(held)

    def search(self) -> int:
        """Return the highest rate that is held, 0 for none."""
        return highest(self.holds)


def highest(holds: Callable[[int], bool]) -> int:
    """Return the highest rate that holds, as far as doubling and then halving the gap tells; 0 where none does.

    >>> highest(lambda rate: rate <= 330)
    300
    """
    low = FIRST_RATE
    while not holds(low):
        if low <= LEAST_RATE:
            return 0
        low //= 2
    high = 2 * low
    while low >= FIRST_RATE and holds(high):
        low, high = high, 2 * high
    for _ in range(REFINEMENTS):
        between = (low + high) // 2
        low, high = (between, high) if holds(between) else (low, between)
    return low


def backlog(latencies: Milliseconds, rate: int) -> int:
    """Return how many payments had no score yet when the last one was due.

    >>> backlog(np.array([5.0, 30.0, 5.0, 5.0]), 100)
    2
    """
    due = np.arange(len(latencies)) / rate * 1_000
    return int((due + latencies > due[-1]).sum())


def flood(site: Site, worker: Worker, payments: Payments, rate: int) -> Figures:
    """Return what came of payments at a rate that is too much. Raises RuntimeError for what the broker refused."""
    letters = payments.letters(rate * FLOOD_SECONDS)
    before, held = site.scored(), megabytes(worker.process.pid)
    started = time.perf_counter()
    with Sampler(site.broker.address, worker, SAMPLE_SECONDS) as seen:
        with Publishing(site.broker.address, letters, rate) as publishing:
            writes = published(publishing)
        sent = time.perf_counter()
        acknowledged = [write.id for write in writes if write.id is not None]
        site.await_scores(worker, before + len(acknowledged))
        drained = time.perf_counter()
    lost, doubled = compared(acknowledged, site.score_ids())
    return {
        "offered_per_second": rate,
        "seconds": round(sent - started, 1),
        "acknowledged": len(acknowledged),
        "lost": lost,
        "doubled": doubled,
        "scored_per_second": round(len(acknowledged) / (drained - started)),
        "drained_after_seconds": round(drained - sent, 1),
        "most_lag": max(each.lag for each in seen.samples),
        "most_buffered": max(each.buffered for each in seen.samples),
        "megabytes_before": round(held),
        "megabytes_most": round(max(each.megabytes for each in seen.samples)),
        "megabytes_after": round(megabytes(worker.process.pid)),
    }


def published(publishing: Publishing) -> Sequence[Write]:
    """Return the ledger, once everything is published. Raises RuntimeError for what the broker refused."""
    while not publishing.done:
        time.sleep(SAMPLE_SECONDS)
    if publishing.refused:
        raise RuntimeError(f"the broker refused {len(publishing.refused)} messages: {publishing.refused[0]}")
    return publishing.writes


def compared(acknowledged: Iterable[str], scored: Iterable[str]) -> tuple[int, int]:
    """Return how many payments have no score, and how many scores there are beyond one for each.

    >>> compared(["a", "b", "c"], ["a", "c", "c", "warmed"])
    (1, 1)
    """
    scores = Counter(scored)
    return len(set(acknowledged) - scores.keys()), sum(scores.values()) - len(scores)


def scaling(site: Site, told: Told) -> dict[str, Figures]:
    """Return the pace of one worker and of two."""
    found: dict[str, Figures] = {}
    for count in (1, 2):
        told(f"a backlog for {count} workers")
        payments, fresh = Payments(), site.cleared()
        with fresh.workers(count) as workers:
            fresh.warmed(workers[0], payments.take(WARM))
            found[f"workers_{count}"] = {"events_per_second": round(fresh.pace(workers, payments.take(BACKLOG)))}
    return found


def with_keys(site: Site, counts: Sequence[int], told: Told) -> dict[str, Figures]:
    """Return the pace and the memory with so many customers each."""
    found = {}
    for count in counts:
        told(f"{count:,} customers")
        fresh, payments = site.cleared(), Payments(customers=count)
        started = time.perf_counter()
        populated(fresh.redis, count, told=told)
        filled = time.perf_counter() - started
        held = used(fresh.redis)
        with fresh.workers() as (worker,):
            pace = fresh.pace([worker], payments.take(BACKLOG))
            found[f"keys_{count}"] = {
                "events_per_second": round(pace),
                "redis_megabytes": round(held / (1 << 20)),
                "redis_bytes_per_key": round(held / count),
                "worker_megabytes": round(megabytes(worker.process.pid)),
                "filled_in_seconds": round(filled, 1),
            }
    return found


def used(redis: str) -> int:
    """Return the bytes of data that a Redis holds."""
    with Redis.from_url(redis) as client:
        memory: Mapping[str, Any] = client.info("memory")
        return int(memory["used_memory_dataset"])
