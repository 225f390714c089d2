"""Before a worker starts: what would break its promises is refused, with the reason and the way out."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog
from redis.asyncio import Redis

from sinks.base import SinkBusy
from sinks.checkpoint import UnsafeRedis, refuse_unsafe
from sinks.connection import connect
from sinks.earlier import commits_of, is_unfinished
from sinks.partitions import PARTITIONS, agree_on_partitions
from streams.pipeline import Pipeline
from streams.settings import DEVELOPMENT_SECRET, Settings
from streams.topic_admin import committed_offsets, list_topics

log = structlog.get_logger()


class NotReady(RuntimeError):
    """A worker must not start with these settings and services."""


def refuse_unready(pipeline: Pipeline, settings: Settings) -> None:
    """Return once a worker may start; while Redis is away, wait for it.

    Raises NotReady for the development secret, for a Redis that may lose state or has lost it, for topics that are
    missing or not co-partitioned, and for other partition counts than the state belongs to; KafkaAway when no broker
    answers.
    """
    _refuse_secret(settings)
    counts = _partitions(pipeline, settings.kafka)
    _refuse_uneven(pipeline, counts)
    asyncio.run(_refuse_redis(settings, counts))
    if asyncio.run(_forgotten(pipeline, settings, counts)):
        raise NotReady(
            f"Redis holds no state at all, but workers of group {settings.group} have read from these topics: it was "
            "emptied, or is another one. Bring back its data. Or to rebuild: stop all workers, delete the group and "
            "the topics that headrace writes, create them anew, and start: everything is read again from Kafka"
        )


def refuse_unfinished(settings: Settings) -> None:
    """Return once Redis says that its state is whole. Raises NotReady where a replay of history was broken off."""
    if asyncio.run(_unfinished(settings)):
        raise NotReady(
            "`headrace replay` was broken off while it wrote its state, or still does: Redis holds a part of it. Let "
            "it finish, or run it again with --force"
        )


async def _unfinished(settings: Settings) -> bool:
    async with connect(settings.redis) as client:
        return await is_unfinished(client)


def _refuse_secret(settings: Settings) -> None:
    if settings.secret.get_secret_value() == DEVELOPMENT_SECRET and not settings.throw_away:
        raise NotReady(
            "HEADRACE_SECRET is not set: it signs models and makes the tokens of personal data, and the one for "
            "development is known to all. Set it (openssl rand -hex 32), or HEADRACE_THROW_AWAY=1 for trying out"
        )


def _partitions(pipeline: Pipeline, bootstrap: str) -> dict[str, int]:
    """Return the partition count of every topic that is read."""
    read = {topic.name: topic for p in pipeline.processors for topic in (*p.inputs, *p.tables)}
    found = {state.name: state.found for state in list_topics(bootstrap, list(read.values()))}
    if missing := sorted(name for name, count in found.items() if count is None):
        raise NotReady(f"there is no topic {', '.join(missing)} on {bootstrap}: create it by `headrace topics create`")
    return {name: count for name, count in found.items() if count is not None}


def _refuse_uneven(pipeline: Pipeline, counts: Mapping[str, int]) -> None:
    for processor in pipeline.processors:
        joined = {topic.name: counts[topic.name] for topic in processor.inputs}
        if len(set(joined.values())) > 1:
            raise NotReady(
                f"{processor.name} joins topics whose partitions do not match: {_told(joined)}. Records of one key "
                "would reach different workers; create the topics anew with the same partition count"
            )


async def _refuse_redis(settings: Settings, counts: Mapping[str, int]) -> None:
    async with connect(settings.redis) as client:
        while True:
            try:
                await refuse_unsafe(client, settings.throw_away)
                return await _refuse_other_partitions(client, counts)
            except UnsafeRedis as unsafe:
                raise NotReady(f"{unsafe} (HEADRACE_THROW_AWAY=1)") from None
            except SinkBusy as busy:
                log.warning("store away", why=str(busy))
                await asyncio.sleep(busy.retry_after)


async def _refuse_other_partitions(client: Redis, counts: Mapping[str, int]) -> None:
    noted = await agree_on_partitions(client, counts)
    other = {name: count for name, count in counts.items() if noted[name] != count}
    if other:
        raise NotReady(
            f"the state in Redis belongs to other partitions: {_told({name: noted[name] for name in other})}, but the "
            f"broker has {_told(other)}. Keys have moved between partitions, and their state has not. To rebuild: stop "
            f"all workers, delete the keys hr:* in Redis ({PARTITIONS} among them) and the internal topics, create "
            "them anew, and start: everything is read again from Kafka"
        )


async def _forgotten(pipeline: Pipeline, settings: Settings, counts: Mapping[str, int]) -> bool:
    """Return whether Redis knows of none of the tasks, while Kafka does of their group."""
    tasks = [f"{p.name}/{n}" for p in pipeline.processors for n in range(counts[p.inputs[0].name])]
    async with connect(settings.redis) as client:
        with suppress(SinkBusy):
            return not await commits_of(client, tasks) and bool(
                committed_offsets(settings.kafka, settings.group, counts)
            )
    return False


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} has {count}" for name, count in sorted(counts.items()))
