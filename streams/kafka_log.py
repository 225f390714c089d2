"""Kafka's topics as a log that is read again: any run of offsets, in whatever order."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.settled import settled

READ_AHEAD = 1_000
TIMEOUT_SECONDS = 30.0
LEADERLESS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


class Stored(NamedTuple):
    """A record as it stands in Kafka; `timestamp` in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def stored(message: Message) -> Stored:
    """Return what a confluent-kafka message holds. Raises KafkaException for one that is an error."""
    if message.error() is not None:
        raise KafkaException(message.error())
    return Stored(message.offset(), message.timestamp()[1], message.key(), message.value(), message.headers() or ())


class KafkaLog:
    """Reads Kafka's topics by offsets, some way ahead in each partition, so that short runs in turn cost little."""

    def __init__(self, bootstrap: str) -> None:
        self._cursors: dict[tuple[str, int], _Cursor] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "headrace-log",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.message.max.bytes": 32 * 1024 * 1024,
                "fetch.wait.max.ms": 10,
            }
        )

    def ends(self, topic: str) -> Mapping[int, int]:
        """Return the end of each partition. Raises KafkaException when there is no such topic, or no broker."""
        metadata = self._consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic]
        if metadata.error is not None:
            raise KafkaException(metadata.error)
        parts = [TopicPartition(topic, partition) for partition in metadata.partitions]
        return {part.partition: self._end(part) for part in parts}

    def read(self, topic: str, partition: int, first: int, last: int) -> Iterator[Stored]:
        """Yield the records of a partition from offset `first` to `last`, those that are still there."""
        cursor = self._cursors.setdefault((topic, partition), _Cursor())
        cursor.seek(first)
        while cursor.at <= last:
            while cursor.ahead and cursor.ahead[0].offset <= last:
                yield cursor.ahead.popleft()
            if cursor.ahead or cursor.until > last:
                cursor.at = last + 1
            elif not self._fetch(TopicPartition(topic, partition, cursor.until), cursor):
                return

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()

    def _end(self, part: TopicPartition) -> int:
        """Return the end of a partition. A leader that is being chosen, as for a new topic, is waited for."""
        return int(settled(lambda: self._consumer.get_watermark_offsets(part, TIMEOUT_SECONDS)[1], *LEADERLESS))

    def _fetch(self, part: TopicPartition, cursor: "_Cursor") -> bool:
        """Read ahead from an offset; return whether there was anything."""
        self._consumer.assign([part])
        for _ in range(READ_AHEAD):
            message = self._consumer.poll(TIMEOUT_SECONDS)
            if message is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                break
            cursor.put(stored(message))
        return bool(cursor.ahead)


class _Cursor:
    """Where a partition is read: everything from `at` up to `until`, exclusive, stands in `ahead`."""

    def __init__(self) -> None:
        self.at = self.until = 0
        self.ahead: deque[Stored] = deque()

    def seek(self, offset: int) -> None:
        if not self.at <= offset <= self.until:
            self.ahead.clear()
            self.until = offset
        self.at = offset
        while self.ahead and self.ahead[0].offset < offset:
            self.ahead.popleft()

    def put(self, record: Stored) -> None:
        self.ahead.append(record)
        self.until = record.offset + 1
