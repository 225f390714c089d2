"""State of earlier runs in Redis: what there is of it, and how it is cleared before other state takes its place.

The keys are those of `sinks/checkpoint.py` and, for models, of `sinks/serving.py`. Scores and other results for readers
stay: what is newer replaces them, and they expire.

While other state is being written, the key `hr:backfill` says so: what lies there meanwhile is half of something.
"""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import Redis

from sinks.connection import busy_when_away
from sinks.progress import PROGRESS

SCANNED = 5_000
BACKFILL = "hr:backfill"
MODEL_KEY = re.compile(rb"hr:[^:{]+:models(:|$)")


async def commits_of(client: Redis, tasks: Sequence[str]) -> dict[str, int]:
    """Return how many commits there are of each task that has any. Raises SinkBusy."""
    with busy_when_away():
        pipeline = client.pipeline(transaction=False)
        for task in tasks:
            pipeline.hget(_checkpoint(task), "sequence")
        found = await pipeline.execute()
    return {task: int(commits) for task, commits in zip(tasks, found, strict=True) if commits is not None}


async def mark_unfinished(client: Redis) -> None:
    """Note that the state of all tasks is about to be replaced. Raises SinkBusy."""
    with busy_when_away():
        await client.set(BACKFILL, "unfinished")


async def mark_finished(client: Redis) -> None:
    """Note that the state of all tasks is whole again. Raises SinkBusy."""
    with busy_when_away():
        await client.delete(BACKFILL)


async def is_unfinished(client: Redis) -> bool:
    """Return whether somebody began to replace the state, and has not finished. Raises SinkBusy."""
    with busy_when_away():
        return bool(await client.exists(BACKFILL))


async def clear_tasks(client: Redis, tasks: Sequence[str]) -> None:
    """Forget the tasks' states, dues, places in the log and progress, and every model version. Raises SinkBusy.

    Not atomic: nobody may commit to the tasks meanwhile.
    """
    with busy_when_away():
        # First the checkpoints: a task that is half forgotten must not pass for one that can go on.
        await client.unlink(*map(_checkpoint, tasks))
        await client.hdel(PROGRESS, *tasks)
        paths = tuple(f"hr:{{{task}}}:".encode() for task in tasks)
        async for keys in _scanned(client):
            if cleared := [key for key in keys if key.startswith(paths) or MODEL_KEY.match(key)]:
                await client.unlink(*cleared)


async def _scanned(client: Redis) -> AsyncIterator[list[Any]]:
    """Yield all keys of headrace, some at a time."""
    cursor = 0
    while True:
        cursor, keys = await client.scan(cursor, match="hr:*", count=SCANNED)
        yield keys
        if not cursor:
            return


def _checkpoint(task: str) -> str:
    return f"hr:{{{task}}}:checkpoint"
