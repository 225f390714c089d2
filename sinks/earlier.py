"""State of earlier runs in Redis: what there is of it, and how it is cleared before other state takes its place.

The keys are those of `sinks/checkpoint.py` and, for models, of `sinks/serving.py`. Scores and other results for readers
stay: what is newer replaces them, and they expire.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from sinks.connection import busy_when_away
from sinks.progress import PROGRESS

SCANNED = 5_000


async def commits_of(client: Redis, tasks: Sequence[str]) -> dict[str, int]:
    """Return how many commits there are of each task that has any. Raises SinkBusy."""
    with busy_when_away():
        pipeline = client.pipeline(transaction=False)
        for task in tasks:
            pipeline.hget(_checkpoint(task), "sequence")
        found = await pipeline.execute()
    return {task: int(commits) for task, commits in zip(tasks, found, strict=True) if commits is not None}


async def clear_tasks(client: Redis, tasks: Sequence[str]) -> None:
    """Forget the tasks' states, dues, places in the log and progress, and every model version. Raises SinkBusy.

    Not atomic: nobody may commit to the tasks meanwhile.
    """
    with busy_when_away():
        for task in tasks:
            # The checkpoint goes first: a task that is half forgotten must not pass for one that can go on.
            await client.unlink(_checkpoint(task))
            await client.hdel(PROGRESS, task)
            await _unlink_all(client, f"hr:{{{task}}}:*")
        await _unlink_all(client, "hr:*:models")
        await _unlink_all(client, "hr:*:models:*")


def _checkpoint(task: str) -> str:
    return f"hr:{{{task}}}:checkpoint"


async def _unlink_all(client: Redis, pattern: str) -> None:
    cursor = 0
    while True:
        cursor, keys = await client.scan(cursor, match=pattern, count=SCANNED)
        if keys:
            await client.unlink(*keys)
        if not cursor:
            return
