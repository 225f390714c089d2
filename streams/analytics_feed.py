"""From Kafka to ClickHouse in a consumer group of its own, so that a slow ClickHouse delays no score."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from time import monotonic, time

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from schemas.errors import BadMessage
from schemas.events import Event
from schemas.privacy import Tokeniser
from schemas.topics import BY_NAME
from sinks.base import Encoded, Sink, SinkBusy

log = structlog.get_logger()

BATCH_RECORDS = 20_000
BATCH_BYTES = 32 * 1024 * 1024
BATCH_SECONDS = 1.0
CHUNK = 2_000
POLL_SECONDS = 0.2
STALLED_SECONDS = 60.0


class AnalyticsFeed:
    """Writes what stands on the sink's topics in batches, and commits offsets to Kafka only after the write.

    Results pass through as they are. What upstream apps published is decoded, so that its personal data rest as
    tokens; what is no message is left out, for the worker says a dead letter of it. While the store is away, a batch
    is kept, and the group kept informed. Whatever was written twice shows once.
    """

    def __init__(self, bootstrap: str, group: str, sink: Sink, tokeniser: Tokeniser) -> None:
        self.counts = {"records": 0, "batches": 0, "skipped": 0, "busy": 0}
        self.lag: dict[tuple[str, int], int] = {}
        self.last_progress = time()
        self._sink = sink
        self._tokeniser = tokeniser
        self._pending: list[Message] = []
        self._written: dict[tuple[str, int], int] = {}
        self._stopping = False
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.message.max.bytes": BATCH_BYTES,
                "queued.max.messages.kbytes": 64 * 1024,
            }
        )

    def run(self) -> None:
        """Feed the sink until `stop`; then write what is at hand, and leave the group. Raises KafkaException."""
        self._consumer.subscribe([topic.name for topic in self._sink.inputs])
        try:
            with asyncio.Runner() as runner:
                while not self._stopping:
                    self._gather()
                    busy = runner.run(self._write())
                    if busy is not None:
                        self._hold(busy.retry_after)
        finally:
            self._consumer.close()

    def stop(self) -> None:
        """End `run` soon. Safe in a signal handler."""
        self._stopping = True

    def stalled(self) -> str | None:
        """Return why this looks stuck, or None while it goes on."""
        still = time() - self.last_progress
        return f"nothing was done for {still:.0f} s" if still > STALLED_SECONDS else None

    def _gather(self) -> None:
        """Take records until the batch is full, its first record has waited a second, or the end has come."""
        deadline = monotonic() + BATCH_SECONDS if self._pending else None
        size = sum(len(message.value() or b"") for message in self._pending)
        while not self._stopping and len(self._pending) < BATCH_RECORDS and size < BATCH_BYTES:
            found = self._usable(self._consumer.consume(CHUNK, POLL_SECONDS))
            self.last_progress = time()
            self._pending += found
            size += sum(len(message.value() or b"") for message in found)
            if deadline is None and self._pending:
                deadline = monotonic() + BATCH_SECONDS
            if deadline is not None and monotonic() >= deadline:
                return

    async def _write(self) -> SinkBusy | None:
        """Write the batch and commit its offsets; return why not when the store is away, and keep the batch."""
        if not self._pending:
            return None
        records = self._encoded(self._pending)
        try:
            await self._sink.write(records)
        except SinkBusy as busy:
            self.counts["busy"] += 1
            log.warning("store away", why=str(busy), waiting=len(self._pending))
            return busy
        self.counts["records"] += len(records)
        self.counts["batches"] += 1
        self.counts["skipped"] += len(self._pending) - len(records)
        self._commit()
        self._measure()
        return None

    def _commit(self) -> None:
        ends = {(str(each.topic()), each.partition() or 0): (each.offset() or 0) + 1 for each in self._pending}
        self._pending = []
        self._written |= ends
        offsets = [TopicPartition(*place, end) for place, end in ends.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as refused:
            # A partition has gone to another member, who writes the same rows again: they show once.
            log.warning("offsets not committed", why=str(refused))

    def _measure(self) -> None:
        """Note how far behind the log each partition is, as far as the broker has told."""
        lag = {}
        for partition in self._consumer.assignment():
            place = (partition.topic, partition.partition)
            if place in self._written:
                _, high = self._consumer.get_watermark_offsets(partition, cached=True)
                lag[place] = max(0, high - self._written[place])
        self.lag = lag

    def _hold(self, seconds: float) -> None:
        """Wait without fetching more, while the group still hears from this member."""
        until = monotonic() + seconds
        self._consumer.pause(self._consumer.assignment())
        while not self._stopping and (left := until - monotonic()) > 0:
            # Records may still come from partitions that are assigned meanwhile.
            self._pending += self._usable(self._consumer.consume(CHUNK, min(left, POLL_SECONDS)))
            self.last_progress = time()
            self._measure()
        self._consumer.resume(self._consumer.assignment())

    def _usable(self, messages: Iterable[Message]) -> list[Message]:
        found: list[Message] = []
        for message in messages:
            error = message.error()
            if error is None:
                found.append(message)
            elif error.fatal() or not (error.retriable() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART):
                raise KafkaException(error)
            else:
                log.warning("kafka", why=error.str())
        return found

    def _encoded(self, messages: Sequence[Message]) -> list[Encoded]:
        values: dict[str, list[bytes | None]] = defaultdict(list)
        for message in messages:
            values[str(message.topic())].append(message.value())
        return [Encoded(name, value) for name, of_topic in values.items() for value in self._passed(name, of_topic)]

    def _passed(self, name: str, values: Sequence[bytes | None]) -> list[bytes]:
        topic = BY_NAME[name]
        if not issubclass(topic.model, Event):
            return [value for value in values if value is not None]
        decoded = topic.decode_batch(values, self._tokeniser)
        return [topic.encode(message) for message in decoded if not isinstance(message, BadMessage)]
