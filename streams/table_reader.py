"""Tables: compacted topics read whole by every worker, advanced only between records."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from schemas.errors import BadMessage
from schemas.records import AnyTopic

POLL_SECONDS = 0.2
MOST_AT_ONCE = 500


class TableReader:
    """The last message of each key of some compacted topics, and up to where they have been read.

    A message that cannot be decoded keeps the last good one of its key and is told to `refuse`. A tombstone removes
    its key.
    """

    def __init__(self, bootstrap: str, topics: tuple[AnyTopic, ...], refuse: Callable[[str, BadMessage], None]) -> None:
        self.tables: dict[AnyTopic, dict[str, Any]] = {topic: {} for topic in topics}
        self.positions: dict[str, dict[int, int]] = {topic.name: {} for topic in topics}
        self._topics = {topic.name: topic for topic in topics}
        self._refuse = refuse
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"headrace-table-{uuid4()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": 32 * 1024 * 1024,
                "fetch.wait.max.ms": 50,
            }
        )

    def read_all(self) -> None:
        """Read every table from its beginning to its present end. Raises KafkaException."""
        ends = {at: self._consumer.get_watermark_offsets(at, timeout=30) for at in self._partitions()}
        self._consumer.assign([TopicPartition(at.topic, at.partition, OFFSET_BEGINNING) for at in ends])
        missing = {(at.topic, at.partition): high for at, (low, high) in ends.items() if high > low}
        while missing:
            self._take(POLL_SECONDS)
            for (topic, partition), high in list(missing.items()):
                if self.positions[topic].get(partition, -1) >= high - 1:
                    del missing[topic, partition]

    def advance(self) -> bool:
        """Take in what has come since, without waiting; return whether anything had."""
        return self._take(0.0)

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _partitions(self) -> list[TopicPartition]:
        found: list[TopicPartition] = []
        for name in self._topics:
            metadata = self._consumer.list_topics(name, timeout=30).topics[name]
            if metadata.error is not None:
                raise KafkaException(metadata.error)
            found += [TopicPartition(name, partition) for partition in metadata.partitions]
        return found

    def _take(self, timeout: float) -> bool:
        messages = self._consumer.consume(MOST_AT_ONCE, timeout)
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            topic = self._topics[message.topic()]
            self._apply(topic, (message.key() or b"").decode(), message.value())
            self.positions[topic.name][message.partition()] = message.offset()
        return bool(messages)

    def _apply(self, topic: AnyTopic, key: str, value: bytes | None) -> None:
        if value is None:
            self.tables[topic].pop(key, None)
            return
        try:
            self.tables[topic][key] = topic.decode(value)
        except BadMessage as bad:
            self._refuse(f"{topic.name}:{key}", bad)


def snapshot(positions: Mapping[str, Mapping[int, int]]) -> dict[str, dict[int, int]]:
    """Return a copy of the positions."""
    return {topic: dict(partitions) for topic, partitions in positions.items()}
