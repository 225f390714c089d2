"""Producing with every delivery report checked: a batch is out only when the broker has all of it."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.cloudevents import headers_of
from streams.outbox import Headers, Outbound, origin_header

POLL_SECONDS = 0.001
CLOSING_SECONDS = 30


class Undelivered(RuntimeError):
    """The broker refused a record for good, or did not take it in time."""


class Deliveries:
    """An idempotent librdkafka producer for asyncio, one for a whole worker.

    Keys go to partitions by murmur2, as Java and Faust clients do it. librdkafka retries by itself. A batch that is not
    in the log after `timeout_ms` raises Undelivered: then end the process, which takes what is still queued with it.
    """

    def __init__(self, bootstrap: str, timeout_ms: int = 120_000) -> None:
        self._timeout = timeout_ms / 1000
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 1,
                "compression.type": "lz4",
                "message.max.bytes": 32 * 1024 * 1024,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 512 * 1024,
                # Never: one that librdkafka gave up on could be overtaken, and its reader take it for a repeat.
                "delivery.timeout.ms": 0,
            }
        )

    async def produce(self, task: str, sequence: int, said: Sequence[Outbound]) -> None:
        """Produce everything a commit said, and return once the broker has it. Raises Undelivered."""
        reports = _Reports(len(said))
        for n, each in enumerate(said):
            headers = _headers(task, sequence, n, each)
            while not self._queued(each, headers, reports):
                self._producer.poll(0)
                await asyncio.sleep(POLL_SECONDS)
        deadline = monotonic() + self._timeout
        # Polled from the loop, not from a thread: every report would make two threads wait for each other.
        while reports.missing:
            self._producer.poll(0)
            if reports.missing:
                if monotonic() > deadline:
                    raise Undelivered(f"the broker has not taken all that {task} said within {self._timeout:g} s")
                await asyncio.sleep(POLL_SECONDS)
        if reports.error is not None:
            raise Undelivered(f"the broker did not take all that {task} said: {reports.error}")

    def _queued(self, said: Outbound, headers: Headers, reports: "_Reports") -> bool:
        """Hand a record to librdkafka, and return whether it had room. Raises Undelivered."""
        try:
            self._producer.produce(said.topic, said.value, said.key, headers=headers, on_delivery=reports.take)
        except BufferError:
            return False
        except KafkaException as error:
            raise Undelivered(f"{said.topic}: {said.id} cannot be produced: {error}") from error
        return True

    def close(self) -> None:
        """Wait for what is on its way, and stop."""
        self._producer.flush(CLOSING_SECONDS)


class _Reports:
    """Counts the delivery reports of one batch, and keeps its first error."""

    def __init__(self, missing: int) -> None:
        self.missing = missing
        self.error: KafkaError | None = None

    def take(self, error: KafkaError | None, _message: Message) -> None:
        self.missing -= 1
        self.error = self.error or error


def _headers(task: str, sequence: int, n: int, said: Outbound) -> Headers:
    headers: Headers = [origin_header(task, sequence, n, said)]
    if not said.internal:
        headers += headers_of(said.id, said.topic, f"headrace/{task}", said.time)
    return headers
