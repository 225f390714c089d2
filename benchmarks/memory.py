"""Bytes that a customer, a terminal and a waiting payment take: in Redis, in a worker, and as the run grows longer.

The card transactions go through the in-process engine; at each quarter of the run the states are put into bytes, as a
worker commits them. At the end a sample of each kind is committed to a Redis of its own, whose memory tells what a key
takes there, and decoded again, where the growth of this process tells what it takes in a worker.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from benchmarks.replay import Run, available, collector_as_in_a_worker, source
from processors.base import AnyProcessor
from sinks.checkpoint import RedisStore
from sinks.store import Commit
from streams.services.own import own_services
from streams.services.supervisor import Part
from streams.state_codec import state_codec
from streams.task import Task

SAMPLE = 20_000
KINDS = {"customers": "features", "terminals": "fraud", "waiting_payments": "outcomes"}

Figures = dict[str, float]
Told = Callable[[str], None]
Blobs = dict[str, bytes]


def memory(events: int | None = None, told: Told = lambda _: None) -> dict[str, Figures]:
    """Return for each kind how many keys there are, and bytes per key.

    `q1` to `q4` are its encoded bytes after each quarter of the run; `redis` and `worker` what it takes there at last.
    """
    count = events or available()
    run = Run(source(), lambda done: told(f"{done:,} transactions"))
    found: dict[str, Figures] = {kind: {} for kind in KINDS}
    with collector_as_in_a_worker():
        for quarter in range(1, 5):
            run.step(count * quarter // 4 - run.done)
            for kind, name in KINDS.items():
                task = run.engine.tasks[name]
                blobs = encoded(task)
                found[kind] |= {"keys": len(task.states), f"q{quarter}": mean(blobs)}
    with own_services(Part.REDIS) as (_, addresses):
        for kind, name in KINDS.items():
            told(kind)
            task = run.engine.tasks[name]
            blobs = encoded(task)
            found[kind] |= {
                "redis": in_redis(addresses[Part.REDIS], task, blobs),
                "worker": in_worker(task.processor, blobs),
            }
    return found


def encoded(task: Task) -> Blobs:
    """Return an even sample of a task's states in bytes."""
    codec, states = state_codec(task.processor), task.states
    every = max(1, len(states) // SAMPLE)
    return {key: codec.encode(state) for key, state in islice(states.items(), 0, None, every)}


def mean(blobs: Blobs) -> float:
    """Return the mean size."""
    return round(sum(map(len, blobs.values())) / max(len(blobs), 1))


def in_redis(url: str, task: Task, blobs: Blobs) -> float:
    """Return the bytes of Redis memory per key once the states and what they wait for are committed."""
    with Redis.from_url(url) as client:
        before = used(client.info("memory"))
        asyncio.run(commit(url, task, blobs))
        return round((used(client.info("memory")) - before) / max(len(blobs), 1))


async def commit(url: str, task: Task, blobs: Blobs) -> None:
    """Commit the states as one batch of their task."""
    client = AsyncRedis.from_url(url)
    store, name = RedisStore(client), f"{task.processor.name}/0"
    dues = {key: due for key in blobs if (due := getattr(task.states[key], "due", None)) is not None}
    epoch = (await store.claim(name)).epoch
    await store.commit(name, epoch, Commit(1, dict(blobs), dues, {}, b"", b"", ()))
    await client.aclose()


def used(memory: Mapping[str, Any]) -> int:
    """Return the bytes of data Redis holds, without what its connections buffer."""
    return int(memory["used_memory_dataset"])


def in_worker(processor: AnyProcessor, blobs: Blobs) -> float:
    """Return the bytes by which this process grows per decoded state."""
    codec = state_codec(processor)
    gc.collect()
    before = resident()
    kept = [codec.decode(blob) for blob in blobs.values()]
    return round((resident() - before) / max(len(kept), 1))


def resident() -> int:
    """Return the bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
