"""What will happen in a simulated world, and is still ahead."""

from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush

from schemas.records import AnyRecord


class Ahead:
    """Records by time; those of one millisecond stay in the order in which they were added."""

    def __init__(self) -> None:
        self._records: list[tuple[int, int, AnyRecord]] = []
        self._number = 0

    def add(self, record: AnyRecord) -> None:
        """Let a record happen at its time."""
        heappush(self._records, (record.time, self._number, record))
        self._number += 1

    def until(self, time: int) -> Iterator[AnyRecord]:
        """Take off what happens up to a time (milliseconds), added meanwhile or before."""
        while self._records and self._records[0][0] <= time:
            yield heappop(self._records)[2]


def interleaved(records: Iterable[AnyRecord], until: Callable[[int], Iterator[AnyRecord]]) -> Iterator[AnyRecord]:
    """Yield records, which come by time, each behind what happens `until` then; end with the records."""
    for each in records:
        yield from until(each.time)
        yield each
