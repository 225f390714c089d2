"""Tables: compacted topics read whole by every worker, advanced only between records."""

from collections.abc import Callable
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.errors import BadMessage
from schemas.records import AnyTopic
from streams.kafka_log import stored
from streams.table_contents import TableContents

POLL_SECONDS = 0.2
MOST_AT_ONCE = 500


class TableReader:
    """Follows the topics of some tables; `contents` is what they say by now. See TableContents for bad entries."""

    def __init__(self, bootstrap: str, topics: tuple[AnyTopic, ...], refuse: Callable[[str, BadMessage], None]) -> None:
        self.contents = TableContents(topics, refuse)
        self._topics = topics
        self._closed = False
        self._unread: set[tuple[str, int]] = set()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"headrace-table-{uuid4()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": 32 * 1024 * 1024,
                "fetch.wait.max.ms": 50,
                "enable.partition.eof": True,
            }
        )

    def read_all(self) -> None:
        """Read every table from its beginning to where it ends by now. Raises KafkaException."""
        parts = self._partitions()
        self._consumer.assign(parts)
        self._unread = {(part.topic, part.partition) for part in parts}
        while self._unread:
            self._take(POLL_SECONDS)

    def advance(self) -> bool:
        """Take in what has come since, without waiting; return whether anything had. Does nothing once closed."""
        return not self._closed and self._take(0.0)

    def close(self) -> None:
        """Close the consumer."""
        self._closed = True
        self._consumer.close()

    def _partitions(self) -> list[TopicPartition]:
        found: list[TopicPartition] = []
        for topic in self._topics:
            metadata = self._consumer.list_topics(topic.name, timeout=30).topics[topic.name]
            if metadata.error is not None:
                raise KafkaException(metadata.error)
            found += [TopicPartition(topic.name, partition, OFFSET_BEGINNING) for partition in metadata.partitions]
        return found

    def _take(self, timeout: float) -> bool:
        messages = self._consumer.consume(MOST_AT_ONCE, timeout)
        for message in messages:
            if (error := message.error()) is not None:
                self._take_error(message, error)
                continue
            self.contents.apply(message.topic(), message.partition(), stored(message))
        return bool(messages)

    def _take_error(self, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._unread.discard((message.topic(), message.partition()))
        elif not error.retriable():
            raise KafkaException(error)
