"""The batch transport: Faust events that are whole record batches, so that Faust's cost per event is paid per batch.

Registered as the URL scheme `headrace://`. Kafka's committed offsets are only a hint for lag tools; where a worker
begins, and what may be committed, is told by its checkpoint through `Progress`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import faust
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import TRANSPORTS, aiokafka
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.inbound import Raw

SCHEME = "headrace"
FETCH_WAIT_MS = 200
CHUNK = 2_000


class RecordBatch:
    """Consecutive records of one partition, fetched while the worker had the assignment numbered `assignment`."""

    __slots__ = ("assignment", "partition", "records", "topic")

    def __init__(self, topic: str, partition: int, records: Sequence[Raw], assignment: int) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        self.assignment = assignment


class Progress(Protocol):
    """What the transport asks of the worker."""

    assignment: int
    batched: frozenset[str]

    async def assigned(self, consumer: Any, partitions: frozenset[TP]) -> Mapping[TP, int | None]:
        """Take over partitions; return where to begin in each of them, None for the log's start."""
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


class BatchConsumerThread(aiokafka.AIOKafkaConsumerThread):
    """Consumes with range assignment: a processor's inputs are co-partitioned, and so go to one worker together.

    `sought` tells under which assignment each partition was last sought. It changes together with the position, in
    this thread, so what is fetched can be told from what was fetched before.
    """

    sought: dict[TP, int]

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = RangePartitionAssignor
        return AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=aiokafka.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 300) * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            isolation_level="read_committed",
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )

    async def begin(self, offsets: Mapping[TP, int | None], assignment: int) -> dict[TP, int]:
        """Seek each partition, to the log's start for None; return where each begins."""
        return dict(await self.call_thread(self._begin, offsets, assignment))

    async def _begin(self, offsets: Mapping[TP, int | None], assignment: int) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        unknown = [aiokafka.ensure_aiokafka_TP(tp) for tp, offset in offsets.items() if offset is None]
        starts = {TP(*tp): offset for tp, offset in (await consumer.beginning_offsets(unknown)).items()}
        begun = {tp: starts[tp] if offset is None else offset for tp, offset in offsets.items()}
        for tp, offset in begun.items():
            consumer.seek(aiokafka.ensure_aiokafka_TP(tp), offset)
            self.sought[tp] = assignment
        return begun

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TP, Any]:
        fetched = await super()._fetch_records(*args, **kwargs)
        batched = self.consumer.progress.batched
        return {
            tp: list(_batches(tp, records, self.sought.get(TP(*tp), -1))) if tp.topic in batched else records
            for tp, records in fetched.items()
        }


class BatchConsumer(aiokafka.Consumer):
    """Faust's consumer, with records in batches and the checkpoint in charge of offsets."""

    progress: Progress

    def _new_consumer_thread(self) -> BatchConsumerThread:
        thread = BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)
        thread.sought = {}
        return thread

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, RecordBatch):
            return super()._to_message(tp, record)
        last = record.records[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000.0,
            0,
            (),
            None,
            record,
            None,
            tp=TP(tp.topic, tp.partition),
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Seek every assigned partition to where its checkpoint goes on. Faust calls this at each assignment."""
        assigned = frozenset(TP(tp.topic, tp.partition) for tp in self.assignment())
        begin = await self.progress.assigned(self, assigned)
        for tp, offset in (await self._thread.begin(begin, self.progress.assignment)).items():
            self._acked.pop(tp, None)
            self._acked_index.pop(tp, None)
            self._read_offset[tp] = self._committed_offset[tp] = offset or None

    def read_again(self, partition: TP, offset: int) -> None:
        """Go back to an offset of one partition, while it stays assigned."""
        self._read_offset[partition] = offset or None
        self._thread.seek(aiokafka.ensure_aiokafka_TP(partition), offset)

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


class BatchTransport(aiokafka.Transport):
    """The Faust transport of `headrace://` URLs."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer
    driver_version = aiokafka.Transport.driver_version


def register() -> None:
    """Make Faust know the scheme. Safe to call twice."""
    TRANSPORTS.aliases[SCHEME] = f"{__name__}:BatchTransport"


def _batches(tp: TP, records: Sequence[Raw], assignment: int) -> Iterator[RecordBatch]:
    for start in range(0, len(records), CHUNK):
        yield RecordBatch(tp.topic, tp.partition, records[start : start + CHUNK], assignment)
