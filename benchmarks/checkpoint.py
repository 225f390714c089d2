"""States per second of the engine's store on a Redis of its own: commits, loads, and the bare MSET beside them.

A commit holds 1,000 states of 2 kB, 1,000 results for readers and an outbox of 500 kB, as a full batch does. Rounds of
all measures alternate, and the median of each is reported. With --profile, where the commits' time goes in this
process is written to standard error.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from itertools import count
from pathlib import Path

import msgspec
import orjson
from redis.asyncio import Redis

from sinks.checkpoint import RedisStore
from sinks.connection import connect
from sinks.serving import Served
from sinks.store import Commit, Position
from streams.services.supervisor import Part, down, up

STATES = 1_000
STATE_BYTES = 2_000
RESULT_BYTES = 600
OUTBOX_BYTES = 500_000
TTL_MS = 60_000

Measure = Callable[[], Awaitable[object]]


def full_batch(sequence: int) -> Commit:
    """Return the commit of a full batch, with bytes that do not compress."""
    states: dict[str, bytes | None] = {f"customer-{n}": os.urandom(STATE_BYTES) for n in range(STATES)}
    result = os.urandom(RESULT_BYTES)
    return Commit(
        sequence=sequence,
        states=states,
        dues=dict.fromkeys(states, 1_530_446_400_000),
        offsets={Position("transactions", 0): sequence * STATES},
        meta=b"{}",
        outbox=os.urandom(OUTBOX_BYTES),
        served=tuple(Served(f"hr:default:score:e{n}", result, TTL_MS) for n in range(STATES)),
        progress=b'{"event_time":0,"committed_at":0}',
    )


class Committer:
    """Commits batches that hold the same, one after the other, for a task of its own."""

    def __init__(self, store: RedisStore, task: str, batch: Commit, epoch: int) -> None:
        self._store, self._task, self._batch, self._epoch = store, task, batch, epoch
        self._sequences = count(1)

    async def __call__(self) -> None:
        """Commit the next."""
        commit = msgspec.structs.replace(self._batch, sequence=next(self._sequences))
        await self._store.commit(self._task, self._epoch, commit)


async def measures(client: Redis) -> dict[str, Measure]:
    """Return what is measured; each handles STATES states."""
    store, batch = RedisStore(client), full_batch(1)
    bare = {f"bare:{key}": state or b"" for key, state in batch.states.items()}
    parts = {
        "commit": batch,
        "commit_without_results": msgspec.structs.replace(batch, served=()),
        "commit_of_states_alone": msgspec.structs.replace(batch, served=(), dues={}, outbox=b""),
    }
    committers = {
        name: Committer(store, f"{name}/0", part, (await store.claim(f"{name}/0")).epoch)
        for name, part in parts.items()
    }
    return {
        **committers,
        "load": lambda: store.load("commit/0", list(batch.states)),
        "bare_mset": lambda: client.mset(bare),
    }


async def paces(url: str, rounds: int, profile: cProfile.Profile | None) -> Mapping[str, float]:
    """Return the median states/s of each measure."""
    client = connect(url, timeout_s=30)
    seconds: dict[str, list[float]] = {}
    chosen = await measures(client)
    for _ in range(rounds):
        for name, measure in chosen.items():
            with profile if profile and name == "commit" else nullcontext():
                started = time.perf_counter()
                await measure()
                seconds.setdefault(name, []).append(time.perf_counter() - started)
    await client.aclose()
    return {name: STATES / statistics.median(each) for name, each in seconds.items()}


def main() -> None:
    """Measure on a Redis server started for it, and print one JSON object of states/s."""
    parser = argparse.ArgumentParser(description="States per second of the engine's store on Redis.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--profile", action="store_true")
    chosen = parser.parse_args()
    profile = cProfile.Profile() if chosen.profile else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            redis = up(folder, (Part.REDIS,)).redis
            assert redis is not None
            found = asyncio.run(paces(redis, chosen.rounds, profile))
        finally:
            down(folder)
    if profile:
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(15)
    rounded = {name: round(pace) for name, pace in found.items()}
    sys.stdout.write(orjson.dumps(rounded, option=orjson.OPT_INDENT_2).decode() + "\n")


if __name__ == "__main__":
    main()
