"""What compacted topics say by now: the last message of each key, up to a position in each partition."""

from collections.abc import Callable, Sequence
from typing import Any

from schemas.errors import BadMessage
from schemas.records import AnyTopic
from streams.inbound import Raw

Positions = dict[str, dict[int, int]]
"""The last offset read of each partition of each topic."""


def keep_silent(_key: str, _why: BadMessage) -> None:
    """Tell nobody of a refused entry."""


class TableContents:
    """Tables in memory and how far they have been read.

    A message that cannot be decoded keeps the last good one of its key and is told to `refuse`. A tombstone removes
    its key.
    """

    def __init__(self, topics: Sequence[AnyTopic], refuse: Callable[[str, BadMessage], None] = keep_silent) -> None:
        self.tables: dict[AnyTopic, dict[str, Any]] = {topic: {} for topic in topics}
        self.positions: Positions = {topic.name: {} for topic in topics}
        self._topics = {topic.name: topic for topic in topics}
        self._refuse = refuse

    def apply(self, name: str, partition: int, raw: Raw) -> None:
        """Take in the next record of a partition."""
        topic, key = self._topics[name], (raw.key or b"").decode()
        self.positions[name][partition] = raw.offset
        if raw.value is None:
            self.tables[topic].pop(key, None)
            return
        try:
            self.tables[topic][key] = topic.decode(raw.value)
        except BadMessage as bad:
            self._refuse(f"{name}:{key}", bad)

    def snapshot(self) -> Positions:
        """Return a copy of the positions."""
        return {topic: dict(partitions) for topic, partitions in self.positions.items()}
