"""Dead letters: what could not be used, why, and how it goes back to where it came from."""

from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from schemas.results import DeadLetter
from schemas.topics import DEAD_LETTERS
from streams.deliveries import Undelivered
from streams.publish import settings
from streams.sealing import Seal
from streams.topic_admin import KafkaAway

TIMEOUT_SECONDS = 15.0
CHUNK = 500
POLL_SECONDS = 0.2


class Original(NamedTuple):
    """A record as it was before it became a dead letter. `value` None is a tombstone."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes]]


class Wanted(NamedTuple):
    """Which dead letters are meant: those of a reason, of an event id "topic/partition/offset", or all."""

    reason: str | None = None
    event_id: str | None = None

    def has(self, letter: DeadLetter) -> bool:
        """Return whether a letter is meant."""
        return self.reason in (None, letter.reason) and self.event_id in (None, letter.event_id)


def letters(bootstrap: str, wanted: Wanted = Wanted()) -> Iterator[DeadLetter]:
    """Yield what is on the dead-letter topic now, each letter once, in the order of its partitions.

    Raises KafkaAway when no broker answers or there is no such topic.
    """
    seen: set[str] = set()
    for value in _values(bootstrap, DEAD_LETTERS.name):
        letter = DEAD_LETTERS.decode(value)
        if letter.event_id not in seen and wanted.has(letter):
            seen.add(letter.event_id)
            yield letter


def opened(letter: DeadLetter, seal: Seal) -> Original:
    """Return the record that a letter holds. Raises SealBroken when it was sealed with another secret."""
    return Original(
        letter.topic,
        _opened(letter.value or None, seal),
        _opened(letter.key, seal),
        [(name, _opened(value or None, seal) or b"") for name, value in letter.headers],
    )


def send_back(bootstrap: str, originals: Sequence[Original]) -> int:
    """Produce records to the topics they came from, byte for byte, and return how many. Raises Undelivered."""
    producer, failures = Producer(settings(bootstrap)), []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failures.append(error.str())

    for original in originals:
        headers = original.headers
        producer.produce(original.topic, original.value, original.key, headers=headers, on_delivery=delivered)
        producer.poll(0)
    if producer.flush(TIMEOUT_SECONDS) or failures:
        why = failures[0] if failures else "the broker did not answer"
        raise Undelivered(f"not all of {len(originals):,} records were taken back: {why}")
    return len(originals)


def _opened(sealed: str | None, seal: Seal) -> bytes | None:
    return None if sealed is None else seal.open(b64decode(sealed))


def _values(bootstrap: str, topic: str) -> Iterator[bytes]:
    """Yield every value of a topic, up to its present end."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "headrace-dead-letters", "log_level": 0})
    with closing(consumer):
        left = _ends(consumer, topic, bootstrap)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
        while left:
            for message in consumer.consume(CHUNK, POLL_SECONDS):
                if (error := message.error()) is not None:
                    raise KafkaAway(f"{topic} cannot be read: {error.str()}")
                value, partition, offset = message.value(), message.partition(), message.offset()
                if value is not None and partition in left:
                    yield value
                if offset is not None and partition is not None and offset + 1 >= left.get(partition, offset + 2):
                    del left[partition]


def _ends(consumer: Consumer, topic: str, bootstrap: str) -> dict[int, int]:
    """Return where each partition that holds anything ends."""
    try:
        found = consumer.list_topics(topic, timeout=TIMEOUT_SECONDS).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        marks = {n: consumer.get_watermark_offsets(TopicPartition(topic, n)) for n in found.partitions}
    except KafkaException as error:
        raise KafkaAway(f"{topic} cannot be read at {bootstrap}: {error.args[0].str()}") from None
    return {partition: high for partition, (low, high) in marks.items() if high > low}
