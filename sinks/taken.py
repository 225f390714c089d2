"""How far tasks have taken what they read, by their checkpoints (see `sinks/checkpoint.py`): for who only looks."""

from collections.abc import Mapping, Sequence

import msgspec
from redis.asyncio import Redis

from sinks.connection import busy_when_away
from sinks.store import Position

_rows = msgspec.json.Decoder(list[tuple[str, int, int]]).decode


async def taken(client: Redis, tasks: Sequence[str], prefix: str = "hr") -> Mapping[str, Mapping[Position, int]]:
    """Return the last offset that each task has taken of each of its partitions, in one round trip. Raises SinkBusy."""
    pipeline = client.pipeline(transaction=False)
    for task in tasks:
        pipeline.hget(f"{prefix}:{{{task}}}:checkpoint", "offsets")
    with busy_when_away():
        found = await pipeline.execute()
    return {
        task: {Position(topic, partition): offset for topic, partition, offset in _rows(stored or b"[]")}
        for task, stored in zip(tasks, found, strict=True)
    }
