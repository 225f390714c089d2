"""Merging a task's inputs by event time: oldest head first, and never past an input that may still hold older ones."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

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

    def take(self, limit: int) -> list[Inbound]:
        """Return up to `limit` records, in event-time order; none while an input has to be waited for."""
        taken: list[Inbound] = []
        while len(taken) < limit:
            if (oldest := self._oldest()) is None:
                break
            head = self._heads[oldest]
            bound = min(
                (other[0].time for name, other in self._heads.items() if name != oldest and other), default=None
            )
            taken.append(head.popleft())
            while head and len(taken) < limit and (bound is None or head[0].time < bound):
                taken.append(head.popleft())
        return taken

    def _bound(self, oldest: str) -> int | None:
        """Return the time that other inputs' heads set to how far one input may be read."""
        return min((head[0].time for name, head in self._heads.items() if name != oldest and head), default=None)

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
