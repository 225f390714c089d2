"""What the benchmarks ask of a Kafka broker: fresh topics, fast filling, and counting without reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.transactions import Message
from streams.settled import settled
from streams.topic_admin import await_empty

PARTITIONS = 4
REQUEST_SECONDS = 30.0


class Broker:
    """One broker at ``HOST:PORT``; use as a context manager."""

    def __init__(self, address: str) -> None:
        self.address = address
        # Its calls raise what goes wrong; what it would log besides is the broker's own end.
        self._admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "benchmarks",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )

    def __enter__(self) -> Broker:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def recreate(self, topic: str) -> None:
        """Create the topic with four empty partitions, deleting it first if it exists."""
        if topic in self._topics():
            self.delete([topic])

        def create() -> None:
            self._admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(REQUEST_SECONDS)

        settled(create, KafkaError.TOPIC_ALREADY_EXISTS)
        settled(lambda: await_empty(self.address, [topic]), KafkaError.UNKNOWN_TOPIC_OR_PART)

    def clear(self, marker: str) -> None:
        """Delete every topic whose name contains the marker: the run's own and what the engines derive from them."""
        self.delete([name for name in self._topics() if marker in name])

    def delete(self, topics: Sequence[str]) -> None:
        """Delete the topics."""
        for deleted in self._admin.delete_topics(list(topics)).values() if topics else ():
            deleted.result(REQUEST_SECONDS)

    def _topics(self) -> list[str]:
        return list(self._admin.list_topics(timeout=REQUEST_SECONDS).topics)

    def fill(self, topic: str, messages: Iterable[Message]) -> None:
        """Produce all messages and wait for their acknowledgement. Raises RuntimeError when one fails."""
        producer = Producer(
            {
                "bootstrap.servers": self.address,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "queue.buffering.max.messages": 5_000_000,
                "queue.buffering.max.kbytes": 2_000_000,
            }
        )
        failed: list[KafkaError] = []
        for key, value in messages:
            producer.produce(topic, value, key, on_delivery=lambda error, _: failed.append(error) if error else None)
        left = producer.flush(REQUEST_SECONDS)
        if left or failed:
            raise RuntimeError(f"{left + len(failed)} messages were not delivered to {topic}: {failed[:1]}")

    def count(self, topic: str) -> int:
        """Return how many records the topic ever took, from its end offsets alone."""

        def ends() -> list[int]:
            partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
            return [self._consumer.get_watermark_offsets(each, REQUEST_SECONDS)[1] for each in partitions]

        return sum(settled(ends, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE))

    def read(self, topic: str) -> Iterator[bytes]:
        """Yield the value of every record in the topic. Raises RuntimeError when one can't be read back."""
        left = self.count(topic)
        self._consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        while left:
            messages = self._consumer.consume(min(left, 10_000), timeout=REQUEST_SECONDS)
            if not messages:
                raise RuntimeError(f"{left} records of {topic} could not be read back")
            yield from (message.value() for message in messages)
            left -= len(messages)
        self._consumer.unassign()
