"""Publishing records to Kafka: idempotent, at a chosen pace, and done only when every record has arrived."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.cloudevents import headers_of
from schemas.records import AnyRecord
from streams.deliveries import Undelivered

SOURCE = "/headrace/publish"
POLL_SECONDS = 0.1
POLL_EVERY = 500
DELIVERY_TIMEOUT_MS = 120_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast to go: at most `rate` records a second, and at most `speedup` times as fast as the events happened."""

    rate: float | None = None
    speedup: float | None = None

    def due(self, number: int, event_ms: int) -> float:
        """Return at how many seconds from the start the record of this number is sent, `event_ms` after the first.

        >>> Pace(rate=100, speedup=60).due(50, 60_000)
        1.0
        """
        by_rate = number / self.rate if self.rate else 0.0
        by_time = event_ms / 1000 / self.speedup if self.speedup else 0.0
        return max(by_rate, by_time)


class Published(msgspec.Struct):
    """What has been published so far: records by topic, the seconds it took, and the event time reached (ms)."""

    records: int
    topics: dict[str, int]
    seconds: float
    records_per_second: float
    event_time: int


Progress = Callable[[Published], None]


def publish(
    records: Iterable[AnyRecord],
    bootstrap: str,
    *,
    pace: Pace | None = None,
    source: str = SOURCE,
    progress: Progress | None = None,
) -> Published:
    """Publish the records in their order, with CloudEvents headers, and return once the broker has every one.

    The same record published twice by two calls is there twice; readers drop it by its id. Raises Undelivered.
    """
    pace = pace or Pace()
    run = _Run(Producer(settings(bootstrap)))
    first_ms: int | None = None
    for number, record in enumerate(records):
        first_ms = record.time if first_ms is None else first_ms
        run.wait(pace.due(number, record.time - first_ms))
        run.send(record, source)
        if progress is not None and number % POLL_EVERY == 0:
            progress(run.told())
    return run.finish()


def settings(bootstrap: str) -> dict[str, object]:
    """Return the producer's settings. Keys go to partitions by murmur2, as Java clients and Faust do it."""
    return {
        "bootstrap.servers": bootstrap,
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2_random",
        "linger.ms": 5,
        "compression.type": "lz4",
        "message.max.bytes": 32 * 1024 * 1024,
        "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
        "log_level": 0,
    }


@dataclass(slots=True)
class _Run:
    """One call of `publish`: the producer, and what its delivery reports said."""

    producer: Producer
    started: float = field(default_factory=monotonic)
    sent: Counter[str] = field(default_factory=Counter)
    event_time: int = 0
    number: int = 0
    lost: int = 0
    reason: KafkaError | None = None

    def wait(self, due: float) -> None:
        """Serve delivery reports until so many seconds from the start, and now and then when there is no wait."""
        self._fail_early()
        if not due:
            if self.number % POLL_EVERY == 0:
                self.producer.poll(0)
            return
        while (left := due - (monotonic() - self.started)) > 0:
            self.producer.poll(min(left, POLL_SECONDS))

    def send(self, record: AnyRecord, source: str) -> None:
        """Hand a record to the producer; its queue being full, wait for room."""
        topic, message = record.topic, record.message
        headers = headers_of(record.id, topic.name, source, record.time, message.tenant)
        key, value = record.key.encode(), topic.encode(message)
        while True:
            try:
                self.producer.produce(topic.name, value, key, headers=headers, on_delivery=self._delivered)
            except BufferError:
                self.producer.poll(POLL_SECONDS)
            except KafkaException as error:
                raise Undelivered(f"{record.id} cannot be sent to {topic.name}: {error.args[0].str()}") from None
            else:
                break
        self.sent[topic.name] += 1
        self.number += 1
        self.event_time = max(self.event_time, record.time)

    def finish(self) -> Published:
        """Wait for every delivery report. Raises Undelivered."""
        unreported = self.producer.flush(DELIVERY_TIMEOUT_MS / 1000 + 1)
        self.lost += unreported
        self._fail_early()
        return self.told()

    def told(self) -> Published:
        """Return what has been handed over so far."""
        seconds = monotonic() - self.started
        return Published(
            self.number, dict(self.sent), seconds, self.number / seconds if seconds else 0.0, self.event_time
        )

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self.lost += 1
            self.reason = self.reason or error

    def _fail_early(self) -> None:
        if self.lost:
            why = self.reason.str() if self.reason else "the broker did not answer"
            raise Undelivered(f"{self.lost:,} of {self.number:,} records did not reach the broker: {why}")
