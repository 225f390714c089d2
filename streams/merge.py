"""Merging a task's inputs by event time: oldest head first, and never past an input that may still hold older ones."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import inf

from streams.inbound import Inbound


class Merge:
    """The buffered heads of one task's inputs, in the order its processor lists them.

    Records are taken oldest first; of equal times the input listed last goes first, since it corrects the others. An
    empty input stops the others until `at_end` says that its log has no more.
    """

    def __init__(self, inputs: Sequence[str], at_end: Callable[[str], bool]) -> None:
        self._order = tuple(reversed(inputs))
        self._heads: dict[str, deque[Inbound]] = {name: deque() for name in self._order}
        self._at_end = at_end

    def __len__(self) -> int:
        return sum(map(len, self._heads.values()))

    def size(self, name: str) -> int:
        """Return how many records of an input wait here."""
        return len(self._heads[name])

    def put(self, name: str, items: Iterable[Inbound]) -> None:
        """Append records of one input, in the order of its log."""
        self._heads[name].extend(items)

    def put_back(self, items: Sequence[Inbound]) -> None:
        """Return records that were taken to the heads they came from."""
        for item in reversed(items):
            self._heads[item.topic.name].appendleft(item)

    def take(self, limit: int, until: int | None = None) -> list[Inbound]:
        """Return up to `limit` records of times up to `until`, in event-time order; none while an input is awaited."""
        taken: list[Inbound] = []
        while len(taken) < limit:
            if (oldest := self._oldest()) is None:
                break
            head = self._heads[oldest]
            if until is not None and head[0].time > until:
                break
            taken.append(head.popleft())
            bound = self._bound(oldest, until)
            while head and len(taken) < limit and head[0].time < bound:
                taken.append(head.popleft())
        return taken

    def oldest_time(self) -> int | None:
        """Return the event time of the oldest head; None when nothing waits here."""
        return min((head[0].time for head in self._heads.values() if head), default=None)

    def _bound(self, oldest: str, until: int | None) -> float:
        """Return the time before which one input may be read on, for the other heads and `until`."""
        others = [head[0].time for name, head in self._heads.items() if name != oldest and head]
        return min([*others, inf if until is None else until + 1])

    def _oldest(self) -> str | None:
        oldest: str | None = None
        for name in self._order:
            head = self._heads[name]
            if not head:
                if not self._at_end(name):
                    return None
            elif oldest is None or head[0].time < self._heads[oldest][0].time:
                oldest = name
        return oldest
