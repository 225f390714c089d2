"""A worker under a moderate load for minutes: whether memory and descriptors stay what they are, and nothing piles up.

Sampled every other second. The slopes are of the second half, by least squares with their 95 % intervals, in which
neighbouring samples count as independent. Customers are few and their payments far apart in event time, so that all
windows and waiting payments have come to their full size before the clock starts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.load import compared, published
from benchmarks.payments import Payments
from benchmarks.samples import Sample, Sampler, slope
from benchmarks.site import Site, Worker, own_site
from streams.chaos.ledger import Publishing

WARM = 12_000
GAP_MS = 600_000.0
CUSTOMERS = 1_000
TERMINALS = 1_000
SAMPLE_SECONDS = 2.0

Told = Callable[[str], None]
Figures = dict[str, Any]


class Soak(NamedTuple):
    """For how long, and how many payments a second."""

    minutes: float = 10.0
    rate: int = 100


def soak(asked: Soak = Soak(), told: Told = lambda _: None) -> Figures:
    """Return memory, descriptors and lag over time. Raises RuntimeError where a worker ends or a score is missing."""
    told("Kafka and Redis")
    payments = Payments(CUSTOMERS, TERMINALS, GAP_MS)
    with own_site() as site:
        fresh = site.cleared()
        with fresh.workers() as (worker,):
            told(f"{WARM:,} payments ahead")
            fresh.warmed(worker, payments.take(WARM))
            told(f"{asked.minutes:g} minutes at {asked.rate} payments a second")
            return watched(fresh, worker, payments, asked)


def watched(site: Site, worker: Worker, payments: Payments, asked: Soak) -> Figures:
    """Return what a worker held while payments came at a steady rate."""
    letters, before = payments.letters(round(60 * asked.minutes * asked.rate)), site.scored()
    started = time.perf_counter()
    with Sampler(site.broker.address, worker, SAMPLE_SECONDS) as seen:
        with Publishing(site.broker.address, letters, asked.rate) as publishing:
            acknowledged = [write.id for write in published(publishing) if write.id is not None]
        took = time.perf_counter() - started
        site.await_scores(worker, before + len(acknowledged))
    lost, doubled = compared(acknowledged, site.score_ids())
    asked_for = {"minutes": round(took / 60, 1), "rate": asked.rate, "lost": lost, "doubled": doubled}
    return asked_for | told_of(seen.samples)


def told_of(samples: Sequence[Sample]) -> Figures:
    """Return what samples tell: where each figure began and ended, its most, and its growth in the second half."""
    half = samples[len(samples) // 2 :]
    at = [each.at for each in half]
    memory = slope(at, [each.megabytes for each in half])
    open_ones = slope(at, [float(each.descriptors) for each in half])
    return {
        "samples": len(samples),
        "megabytes_first": round(samples[0].megabytes, 1),
        "megabytes_half": round(half[0].megabytes, 1),
        "megabytes_last": round(samples[-1].megabytes, 1),
        "megabytes_per_hour": memory.per_hour,
        "megabytes_per_hour_plus_minus": memory.plus_minus,
        "descriptors_first": samples[0].descriptors,
        "descriptors_most": max(each.descriptors for each in samples),
        "descriptors_last": samples[-1].descriptors,
        "descriptors_per_hour": open_ones.per_hour,
        "descriptors_per_hour_plus_minus": open_ones.plus_minus,
        "most_lag": max(each.lag for each in samples),
        "most_buffered": max(each.buffered for each in samples),
    }
