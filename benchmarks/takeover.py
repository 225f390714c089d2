"""How soon a worker scores again that takes partitions over whose tasks have very many keys.

Redis is filled with customers' states and with payments that wait for their label, each with the time it is due. Two
workers share the partitions while payments come at a steady rate; then one of them is killed, and the other has all.
When a task was claimed is told by its epoch, which is Redis' clock; when it works again by its first commit, for which
Redis is asked every few milliseconds.

`killed_to_claimed_seconds` is mostly the session timeout, after which the group gives the dead worker's partitions
away. `claimed_to_first_score_seconds` is until the first partition scores, `claimed_to_all_scoring_seconds` until all
of them do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from redis import Redis

from benchmarks.load import used
from benchmarks.payments import Payments
from benchmarks.population import populated
from benchmarks.samples import megabytes
from benchmarks.site import own_site
from schemas.topics import SCORES
from streams.chaos.ledger import Publishing

RATE = 50
STEADY = 200
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.005
SESSION = "6s"
TASKS = tuple(f"fraud/{partition}" for partition in range(SCORES.partitions))

Told = Callable[[str], None]
Figures = dict[str, Any]


class Place(NamedTuple):
    """Who owns a task, by when it was claimed in microseconds, and how many commits it has."""

    epoch: int
    sequence: int


class TakeOver(NamedTuple):
    """When what happened, in seconds since 1970 UTC: the claims of all scoring tasks, and their first commits."""

    claimed: Mapping[str, float]
    scored: Mapping[str, float]


def takeover(keys: int = 1_000_000, waiting: int = 350_000, told: Told = lambda _: None) -> Figures:
    """Return how long it took, with so many customers and payments that wait. Raises RuntimeError where it did not."""
    told("Kafka and Redis")
    with own_site() as site:
        fresh = site.cleared(session_timeout=SESSION)
        populated(fresh.redis, keys, waiting, told)
        held = used(fresh.redis)
        told("two workers")
        with fresh.workers(2) as (one, other):
            payments = Payments(customers=keys)
            fresh.warmed(one, payments.take(STEADY))
            letters = payments.letters(round(RATE * PATIENCE_SECONDS))
            with Publishing(fresh.broker.address, letters, RATE), Redis.from_url(fresh.redis) as client:
                fresh.await_scores(one, 2 * STEADY)
                told("one of them is killed")
                killed, before = time.time(), places(client)
                one.process.kill()
                seen = watched(client, before)
                memory = megabytes(other.process.pid)
    claimed = min(seen.claimed.values())
    return {
        "keys": keys,
        "waiting": waiting,
        "redis_megabytes": round(held / (1 << 20)),
        "worker_megabytes": round(memory),
        "killed_to_claimed_seconds": round(claimed - killed, 2),
        "claims_took_seconds": round(max(seen.claimed.values()) - claimed, 3),
        "claimed_to_first_score_seconds": round(min(seen.scored.values()) - claimed, 2),
        "claimed_to_all_scoring_seconds": round(max(seen.scored.values()) - claimed, 2),
        "killed_to_all_scoring_seconds": round(max(seen.scored.values()) - killed, 2),
    }


def watched(client: Redis, before: Mapping[str, Place]) -> TakeOver:
    """Return when every scoring task was claimed anew, and when it first committed after that."""
    first: dict[str, Place] = {}
    scored: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(scored) < len(TASKS):
        if time.monotonic() > deadline:
            raise RuntimeError(
                f"{sorted(set(TASKS) - scored.keys())} did not score {PATIENCE_SECONDS:.0f} s after the kill"
            )
        for task, place in places(client).items():
            if place.epoch == before[task].epoch:
                continue
            if task not in first or place.epoch != first[task].epoch:
                first[task] = place
                scored.pop(task, None)
            elif place.sequence > first[task].sequence:
                scored.setdefault(task, time.time())
        time.sleep(POLL_SECONDS)
    return TakeOver({task: place.epoch / 1e6 for task, place in first.items()}, scored)


def places(client: Redis) -> dict[str, Place]:
    """Return who owns each scoring task, and how far it has come."""
    pipeline = client.pipeline(transaction=False)
    for task in TASKS:
        pipeline.hmget(f"hr:{{{task}}}:checkpoint", ["epoch", "sequence"])
    found = zip(TASKS, pipeline.execute(), strict=True)
    return {task: Place(int(epoch or 0), int(sequence or 0)) for task, (epoch, sequence) in found}
