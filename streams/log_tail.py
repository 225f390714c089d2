"""Whether a record is left in a partition: the marks that end transactions take offsets too, and are none."""

from confluent_kafka import Consumer, KafkaError, TopicPartition

POLL_SECONDS = 1.0


class LogTail:
    """Looks for one record at a time; what a transaction has not committed is none yet."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "headrace-tail",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": 1_024,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )

    def is_empty(self, topic: str, partition: int, offset: int) -> bool | None:
        """Return whether no record stands at an offset or behind it; None where the broker does not tell in time."""
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        message = self._consumer.poll(POLL_SECONDS)
        if message is None:
            return None
        error = message.error()
        if error is None:
            return False
        return True if error.code() == KafkaError._PARTITION_EOF else None
