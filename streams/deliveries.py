"""Producing with every delivery report checked: a batch is out only when the broker has all of it."""

import asyncio
from collections.abc import Sequence
from threading import Event, Thread

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from schemas.cloudevents import headers_of
from streams.outbox import Headers, Outbound, origin_header

POLL_SECONDS = 0.05


class Undelivered(RuntimeError):
    """The broker refused a record for good."""


class Deliveries:
    """An idempotent librdkafka producer for asyncio, one for a whole worker.

    Keys go to partitions by murmur2, as Java and Faust clients do it. librdkafka retries by itself for as long as
    `timeout_ms`; what it then gives up on raises Undelivered.
    """

    def __init__(self, bootstrap: str, timeout_ms: int = 120_000) -> None:
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
                "delivery.timeout.ms": timeout_ms,
            }
        )
        self._closing = Event()
        self._poller = Thread(target=self._poll, name="deliveries", daemon=True)
        self._poller.start()

    def _poll(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(POLL_SECONDS)

    async def produce(self, task: str, sequence: int, said: Sequence[Outbound]) -> None:
        """Produce everything a commit said, and return once the broker has it. Raises Undelivered."""
        if not said:
            return
        batch = _Batch(len(said))
        for n, each in enumerate(said):
            await self._send(each, _headers(task, sequence, n, each), batch)
        await batch.done

    async def _send(self, said: Outbound, headers: Headers, batch: "_Batch") -> None:
        while True:
            try:
                self._producer.produce(
                    said.topic, said.value, said.key.encode(), headers=headers, on_delivery=batch.delivered
                )
            except BufferError:
                await asyncio.sleep(0.01)
            except KafkaException as error:
                raise Undelivered(f"{said.topic}: {said.id} cannot be produced: {error}") from error
            else:
                return

    def close(self) -> None:
        """Wait for what is on its way, and stop."""
        self._producer.flush(30)
        self._closing.set()
        self._poller.join()


class _Batch:
    """Counts the delivery reports of one batch; `done` is set by the last."""

    def __init__(self, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = size
        self._error: KafkaError | None = None
        self.done: asyncio.Future[None] = self._loop.create_future()

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._left -= 1
        self._error = self._error or error
        if not self._left:
            self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if self.done.cancelled():
            return
        if self._error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(Undelivered(f"the broker did not take the batch: {self._error}"))


def _headers(task: str, sequence: int, n: int, said: Outbound) -> Headers:
    headers: Headers = [origin_header(task, sequence, n, said)]
    if not said.internal:
        headers += headers_of(said.id, said.topic, f"headrace/{task}", said.time)
    return headers
