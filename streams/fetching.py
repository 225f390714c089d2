"""Fetching: the thread that consumes from Kafka, and makes batches of what it fetched.

Faust drops what it had fetched of a partition that is paused, moved or revoked meanwhile, and says nothing. So every
batch tells which offsets it covers and which seek it follows: whoever takes it sees what is missing before it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka
from faust.types import TP

from streams.inbound import Raw

log = structlog.get_logger()

FETCH_WAIT_MS = 200
CHUNK = 2_000
METADATA_SECONDS = 0.1
"""How long the broker is left in peace after it was asked where partitions are."""

Update = Callable[..., Awaitable[bool]]


class RecordBatch(NamedTuple):
    """All records of a partition from offset `begin` up to `end`, exclusive, fetched after the seek numbered `seek`.

    Offsets without a record, as compaction and transactions leave them, are covered too.
    """

    topic: str
    partition: int
    records: Sequence[Raw]
    begin: int
    end: int
    seek: int


class Place(NamedTuple):
    """Where a partition is read: after which seek, and the offset that comes next."""

    seek: int
    offset: int


class PacedConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """Asks for metadata a few times a second at most.

    While a partition has no leader, as when its broker restarts, aiokafka's fetcher asks again as soon as it is
    answered, or refused: thousands of times a second, and tells of each.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._client._metadata_update = paced(self._client._metadata_update, METADATA_SECONDS)


def paced(update: Update, seconds: float) -> Update:
    """Return what updates as `update` does, and begins so many seconds after the last one has ended at the earliest."""
    earliest = 0.0

    async def updated(*args: Any) -> bool:
        nonlocal earliest
        await asyncio.sleep(max(0.0, earliest - monotonic()))
        try:
            return await update(*args)
        finally:
            earliest = monotonic() + seconds

    return updated


class BatchConsumerThread(aiokafka.AIOKafkaConsumerThread):  # type: ignore[misc]
    """Consumes with range assignment: a processor's inputs are co-partitioned, and so go to one worker together.

    `places` follows every seek and fetch in this thread, where nothing can come between a position and its records.
    """

    places: dict[TP, Place]

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        self._assignor = RangePartitionAssignor
        return PacedConsumer(
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

    async def begin(self, offsets: Mapping[TP, int | None], seek: int) -> dict[TP, int]:
        """Seek each partition, to the log's start for None; return where each begins.

        Left out are those that are not assigned any more, or were sought under a higher number meanwhile.
        """
        return dict(await self.call_thread(self._begin, offsets, seek))

    async def _begin(self, offsets: Mapping[TP, int | None], seek: int) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        unknown = [aiokafka.ensure_aiokafka_TP(tp) for tp, offset in offsets.items() if offset is None]
        starts = {TP(*tp): offset for tp, offset in (await consumer.beginning_offsets(unknown)).items()}
        assigned = self.assignment()
        begun = {
            tp: starts[tp] if at is None else at
            for tp, at in offsets.items()
            if tp in assigned and (tp not in self.places or self.places[tp].seek < seek)
        }
        for tp, offset in begun.items():
            consumer.seek(aiokafka.ensure_aiokafka_TP(tp), offset)
            self.places[tp] = Place(seek, offset)
        return begun

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> dict[TP, Any]:
        fetched = await super()._fetch_records(*args, **kwargs)
        batched = self.consumer.progress.batched
        result = {tp: records for tp, records in fetched.items() if tp.topic not in batched}
        for tp in self.places:
            if batches := self._batches(tp, fetched.get(tp, ())):
                result[aiokafka.ensure_aiokafka_TP(tp)] = batches
        return result

    def _batches(self, tp: TP, records: Sequence[Raw]) -> list[RecordBatch]:
        """Return what was fetched of a partition; a batch without records where only its position went on."""
        place, state = self.places[tp], self.state(tp)
        if state is None or not state.has_valid_position or (position := state.position) == place.offset:
            return []
        self.places[tp] = Place(place.seek, position)
        return list(batches(tp, records, place, position))

    def state(self, tp: TP) -> Any:
        """Return what aiokafka knows of a partition; None when it is not assigned."""
        assignment = self._ensure_consumer()._subscription.subscription.assignment
        return assignment and assignment.state_value(aiokafka.ensure_aiokafka_TP(tp))

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit, and return whether the broker took it. A refusal ends Faust's own consumer; here it is no harm."""
        # In a rebalance the broker refuses the generation, for which aiokafka leaves the group and joins it anew: the
        # next rebalance, in which the next member commits, and so on for ever.
        if self.app.rebalancing:
            return False
        assigned = self.assignment()
        known = {aiokafka.ensure_aiokafka_TP(tp): at for tp, at in offsets.items() if tp in assigned}
        try:
            if known:
                await self._ensure_consumer().commit(known)
        except KafkaError as error:
            log.warning("offsets not committed", why=type(error).__name__)
            return False
        self.tp_last_committed_at.update(dict.fromkeys(offsets, monotonic()))
        return bool(known)


def batches(tp: TP, records: Sequence[Raw], place: Place, end: int) -> Iterator[RecordBatch]:
    """Yield what was fetched from a place up to an offset, a chunk at a time; of nothing, a batch without records."""
    begin = place.offset
    for start in range(0, max(len(records), 1), CHUNK):
        chunk = records[start : start + CHUNK]
        until = chunk[-1].offset + 1 if start + CHUNK < len(records) else end
        yield RecordBatch(tp.topic, tp.partition, chunk, begin, until, place.seek)
        begin = until
