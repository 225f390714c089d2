"""The evidence of a drill: everything that stands in Kafka and Redis once it is over."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from redis import Redis

from schemas.records import AnyTopic
from schemas.topics import DEAD_LETTERS
from streams.chaos.ledger import Write
from streams.journal import Entries, journal
from streams.kafka_log import KafkaLog
from streams.outbox import origin
from streams.pipeline import Pipeline

TIMEOUT_SECONDS = 10.0
Place = tuple[str, int]
"""A topic and a partition."""

Offsets = Mapping[Place, int]
States = Mapping[str, Mapping[str, bytes]]
"""The encoded state of each key, by task ("processor/partition")."""


class Said(NamedTuple):
    """A record of ours as it stands in a partition: what it is, and where (task, sequence, number) it was said."""

    topic: str
    partition: int
    id: str
    value: bytes
    task: str
    sequence: int
    number: int


@dataclass(frozen=True)
class Evidence:
    """What was acknowledged, what was said of it in the order of each partition, and what is kept.

    `checkpoints` tell the offset each task goes on from, `committed` what Kafka believes, `ends` where partitions end.
    """

    writes: Sequence[Write]
    said: Sequence[Said]
    journal: Mapping[tuple[str, int], Entries]
    states: States
    checkpoints: Mapping[str, Offsets]
    committed: Offsets
    ends: Offsets


def inputs(pipeline: Pipeline) -> tuple[AnyTopic, ...]:
    """Return the topics that some processor reads."""
    return tuple(dict.fromkeys(topic for processor in pipeline.processors for topic in processor.inputs))


def gather(pipeline: Pipeline, log: KafkaLog, writes: Sequence[Write], kept: "Kept", committed: Offsets) -> Evidence:
    """Return the evidence as it is now."""
    return Evidence(
        writes=writes,
        said=list(said(log, (*pipeline.outputs, DEAD_LETTERS))),
        journal=journal(log),
        states=kept.states(),
        checkpoints=kept.checkpoints(),
        committed=committed,
        ends={(topic.name, at): end for topic in inputs(pipeline) for at, end in log.ends(topic.name).items()},
    )


def said(log: KafkaLog, topics: Iterable[AnyTopic]) -> Iterable[Said]:
    """Yield what stands on topics, partition after partition. Raises ValueError for a record without its origin."""
    for topic in topics:
        for partition, end in log.ends(topic.name).items():
            for record in log.read(topic.name, partition, 0, end - 1):
                where = origin(record.headers)
                if where is None:
                    raise ValueError(f"{topic.name}/{partition}/{record.offset} does not tell who said it")
                yield Said(topic.name, partition, where.id, record.value or b"", where.task, where.sequence, where.n)


class Kept:
    """What tasks keep in one Redis. Use as a context manager."""

    def __init__(self, url: str) -> None:
        self._client = Redis.from_url(url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=1.0)

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @property
    def client(self) -> Redis:
        """The client, for faults that are commands."""
        return self._client

    def checkpoints(self) -> dict[str, Offsets]:
        """Return the offset that each task goes on from, in each of its input partitions."""
        found = {key.decode()[4:-12]: self._client.hget(key, "offsets") for key in self._fences()}
        return {
            task: {(topic, at): offset + 1 for topic, at, offset in msgspec.json.decode(offsets or b"[]")}
            for task, offsets in found.items()
        }

    def sequences(self, tasks: Sequence[str]) -> dict[str, int]:
        """Return how many commits each task has made, in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for task in tasks:
            pipeline.hget(f"hr:{{{task}}}:checkpoint", "sequence")
        return {task: int(sequence or 0) for task, sequence in zip(tasks, pipeline.execute(), strict=True)}

    def states(self) -> dict[str, dict[str, bytes]]:
        """Return the encoded state of every key, by task; those with none are left out."""
        found: dict[str, dict[str, bytes]] = {}
        for fence in self._fences():
            path = fence.decode().removesuffix("checkpoint") + "state:"
            keys = list(self._client.scan_iter(path.replace("[", "\\[") + "*", count=1_000))
            values: list[Any] = self._client.mget(keys) if keys else []
            found[path[4:-8]] = {key.decode()[len(path) :]: value for key, value in zip(keys, values, strict=True)}
        return {task: states for task, states in found.items() if states}

    def _fences(self) -> list[bytes]:
        return list(self._client.scan_iter("hr:{*}:checkpoint", count=1_000))


class Marks:
    """Where Kafka's partitions end, and what it believes a group has taken. Use as a context manager."""

    def __init__(self, bootstrap: str, group: str, topics: Sequence[AnyTopic]) -> None:
        self._parts = [TopicPartition(topic.name, at) for topic in topics for at in range(topic.partitions)]
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})

    def __enter__(self) -> "Marks":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def ends(self, timeout: float = TIMEOUT_SECONDS) -> dict[Place, int]:
        """Return the end of each partition. Raises KafkaException."""
        return {(p.topic, p.partition): self._consumer.get_watermark_offsets(p, timeout)[1] for p in self._parts}

    def committed(self, timeout: float = TIMEOUT_SECONDS) -> dict[Place, int]:
        """Return what Kafka believes was taken, where it believes anything. Raises KafkaException."""
        found = self._consumer.committed(self._parts, timeout=timeout)
        if failed := next((part.error for part in found if part.error), None):
            raise KafkaException(failed)
        return {(part.topic, part.partition): part.offset for part in found if part.offset >= 0}


def closing_log(bootstrap: str) -> "closing[KafkaLog]":
    """Return a log to read a broker's topics by, closed at the end of the block."""
    return closing(KafkaLog(bootstrap))
