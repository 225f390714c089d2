"""The batch transport: Faust events that are whole record batches, so that Faust's cost per event is paid per batch.

Registered as the URL scheme `headrace://`. Kafka's committed offsets are only a hint for lag tools; where a worker
begins, and what may be committed, is told by its checkpoint through `Progress`.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

import faust
from faust.transport.drivers import TRANSPORTS, aiokafka
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.fetching import BatchConsumerThread, RecordBatch

SCHEME = "headrace"


class Progress(Protocol):
    """What the transport asks of the worker."""

    batched: frozenset[str]

    async def assigned(self, consumer: "BatchConsumer", partitions: frozenset[TP]) -> None:
        """Take over the partitions, and `begin` each where its checkpoint goes on."""
        ...

    def committable(self, partition: TP) -> int | None:
        """Return the offset up to which everything is in the checkpoint, exclusive; None for nothing yet."""
        ...


class BatchSchema(faust.Schema):
    """Hands batches through as they are: decoding is the worker's own."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:
        """Return None: a batch has no key."""
        return

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        """Return the batch."""
        return message.value


class BatchConsumer(aiokafka.Consumer):
    """Faust's consumer, with records in batches and the checkpoint in charge of offsets."""

    progress: Progress

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = _Unread()
        self._taken_over: tuple[int, frozenset[TP]] | None = None

    def _new_consumer_thread(self) -> BatchConsumerThread:
        thread = BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)
        thread.places = {}
        return thread

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, RecordBatch):
            return super()._to_message(tp, record)
        timestamp = record.records[-1].timestamp / 1000.0 if record.records else 0.0
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.end - 1,
            timestamp,
            0,
            (),
            None,
            record,
            None,
            tp=TP(tp.topic, tp.partition),
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Hand the assigned partitions to the worker. Faust calls this at each assignment, and when a fetch
        comes back in the middle of a rebalance: then there is nothing new to take over."""
        assigned = frozenset(TP(tp.topic, tp.partition) for tp in self.assignment())
        if self._taken_over == (taken := (self.app.consumer_generation_id, assigned)):
            return
        self._taken_over = taken
        for tp in assigned:
            self.hold(tp)
        await self.progress.assigned(self, assigned)

    async def begin(self, offsets: Mapping[TP, int | None], seek: int) -> dict[TP, int]:
        """Fetch each partition from an offset on, the log's start for None; return where each begins.

        Left out are those that are not assigned any more, or were sought under a higher number meanwhile.
        """
        begun: dict[TP, int] = await self._thread.begin(offsets, seek)
        for tp in begun:
            # What the last owner could not commit any more, this one does: lag tools would be wrong until new records.
            self._committed_offset.pop(tp, None)
            self.release(tp)
        return begun

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand every batch on as it was fetched, until stopped.

        Faust's own waits for two new tasks with each, which is a turn of a busy event loop for each batch.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                async for _, message in self.getmany(timeout=1.0):
                    await self.callback(message)
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            # In the middle of a rebalance Faust would wake the supervisor that its fetcher has not, and so end with 1.
            if not fetcher.should_stop:
                raise
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise

    def hold(self, partition: TP) -> None:
        """Fetch no more of a partition; what was fetched already still comes."""
        self.on_buffer_full(partition)

    def release(self, partition: TP) -> None:
        """Fetch a partition again."""
        self.on_buffer_drop(partition)

    def highwater(self, tp: TP) -> int | None:
        """Return the end of what can be read of a partition; None while it is not known, or not assigned."""
        state = self._thread.state(tp)
        return None if state is None else state.lso

    def ack(self, message: Any) -> bool:
        """Note that Faust is done with an event; that its records are safe, only the checkpoint says."""
        if message.tp.topic not in self.progress.batched:
            return bool(super().ack(message))
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        for tp in self.assignment():
            if topics is None or tp in topics or tp.topic in topics:
                yield TP(tp.topic, tp.partition)

    def _new_offset(self, tp: TP) -> int | None:
        return self.progress.committable(tp) if tp.topic in self.progress.batched else super()._new_offset(tp)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        # Faust moves its view even when the broker refused the commit (faust-streaming #316).
        committed = await self._commit(offsets)
        if committed:
            self._committed_offset.update(offsets)
        return bool(committed)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: between two batches there is no gap to keep account of."""


class _Unread(dict[TP, int | None]):
    """Never knows how far a partition was read, so that Faust drops nothing by it: batches tell that themselves."""

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Forget it."""


class BatchTransport(aiokafka.Transport):
    """The Faust transport of `headrace://` URLs."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer
    driver_version = aiokafka.Transport.driver_version


def register() -> None:
    """Make Faust know the scheme. Safe to call twice."""
    TRANSPORTS.aliases[SCHEME] = f"{__name__}:BatchTransport"
