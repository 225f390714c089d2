"""What a worker fetches: from where in each partition, without loss, and no faster than its lanes can take it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import count
from typing import Protocol

import structlog
from faust.types import TP

from streams.fetching import RecordBatch
from streams.inbound import Raw

log = structlog.get_logger()


class Fetching(Protocol):
    """What is asked of the consumer; see BatchConsumer."""

    async def begin(self, offsets: Mapping[TP, int | None], seek: int) -> dict[TP, int]:
        """Fetch partitions from these offsets on, the log's start for None; return where each begins."""
        ...

    def highwater(self, tp: TP) -> int | None:
        """Return the end of what can be read of a partition; None while unknown."""
        ...

    def hold(self, partition: TP) -> None:
        """Fetch no more of a partition."""
        ...

    def release(self, partition: TP) -> None:
        """Fetch a partition again."""
        ...


class Inflow:
    """Follows how far each lane has been given each partition. What Faust loses on the way is read again.

    Every seek has a number, and every batch that of the seek it follows: what was fetched before the last one is
    not taken. A partition with more than `most` records waiting is fetched again once there are less than `few`.
    """

    def __init__(self, most: int, few: int) -> None:
        self._consumer: Fetching | None = None
        self._numbers = count(1)
        self._seeks: dict[TP, int] = {}
        self._read: dict[TP, dict[str, int]] = {}
        self._held: set[TP] = set()
        self._most, self._few = most, few

    async def begin(
        self, consumer: Fetching, offsets: Mapping[TP, int | None], readers: Mapping[TP, Collection[str]]
    ) -> None:
        """Fetch partitions from these offsets on, the log's start for None, for the lanes that read each."""
        seek = next(self._numbers)
        begun = await consumer.begin(offsets, seek)
        self._consumer = consumer
        self._held.clear()
        self._seeks = dict.fromkeys(begun, seek)
        self._read = {tp: dict.fromkeys(readers[tp], offset) for tp, offset in begun.items()}

    def stop(self) -> None:
        """Take nothing until the next `begin`."""
        self._seeks.clear()

    async def take(self, lane: str, batch: RecordBatch) -> Sequence[Raw]:
        """Return the records of a batch that a lane lacks; none when others are missing before them."""
        tp = TP(batch.topic, batch.partition)
        if batch.seek != self._seeks.get(tp):
            return ()
        read = self._read[tp][lane]
        if batch.begin > read:
            await self._read_again(tp, batch)
            return ()
        self._read[tp][lane] = max(read, batch.end)
        return batch.records if batch.begin == read else [raw for raw in batch.records if raw.offset >= read]

    async def _read_again(self, tp: TP, batch: RecordBatch) -> None:
        if self._consumer is None:
            return
        offset = min(self._read[tp].values())
        log.warning("lost on the way, read again", topic=tp.topic, partition=tp.partition, at=offset, came=batch.begin)
        self._seeks[tp] = next(self._numbers)
        await self._consumer.begin({tp: offset}, self._seeks[tp])

    def end(self, tp: TP) -> int | None:
        """Return the end of a partition as the broker last told it; None while unknown."""
        return None if self._consumer is None else self._consumer.highwater(tp)

    def read(self, lane: str, tp: TP) -> int:
        """Return the offset that a lane is to be given next, 0 when it is not reading."""
        return self._read.get(tp, {}).get(lane, 0)

    def at_end(self, lane: str, tp: TP) -> bool:
        """Return whether a lane has been given all that the broker has told of."""
        end = self.end(tp)
        return end is not None and tp in self._read and self.read(lane, tp) >= end

    def behind(self, lane: str, tp: TP) -> bool:
        """Return whether the broker has told of more than a lane has been given."""
        end = self.end(tp)
        return end is not None and tp in self._read and self.read(lane, tp) < end

    def press(self, tp: TP, waiting: int) -> None:
        """Stop fetching a partition of which too much waits.

        Pausing would be the word for it, but Faust drops what it had fetched of a partition that is paused meanwhile.
        """
        if waiting > self._most and self._consumer is not None:
            self._consumer.hold(tp)
            self._held.add(tp)

    def ease(self, waiting: Callable[[TP], int]) -> None:
        """Fetch again what lanes have caught up with."""
        for tp in [tp for tp in self._held if waiting(tp) < self._few]:
            self._held.discard(tp)
            if self._consumer is not None:
                self._consumer.release(tp)

    def held(self) -> frozenset[TP]:
        """Return the partitions that are not fetched for now."""
        return frozenset(self._held)
