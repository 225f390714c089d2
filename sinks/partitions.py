"""The partition counts that the state in Redis belongs to: the hash `hr:partitions`, topic → count."""

from collections.abc import Mapping

from redis.asyncio import Redis

from sinks.connection import busy_when_away

PARTITIONS = "hr:partitions"


async def agree_on_partitions(client: Redis, counts: Mapping[str, int]) -> dict[str, int]:
    """Note the partition count of each topic, unless one was noted before; return the counts as they are noted.

    Raises SinkBusy.
    """
    pipeline = client.pipeline(transaction=True)
    for topic, count in counts.items():
        pipeline.hsetnx(PARTITIONS, topic, str(count))
    pipeline.hmget(PARTITIONS, list(counts))
    with busy_when_away():
        *_, noted = await pipeline.execute()
    return {topic: int(count) for topic, count in zip(counts, noted, strict=True)}
