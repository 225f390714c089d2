"""A log in memory: what the journal is replayed from, without a broker."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.records import AnyTopic
from schemas.results import JournalEntry
from schemas.topics import JOURNAL
from streams.kafka_log import Stored


class MemoryLog:
    """Topics as lists of records, by partition; see Log."""

    def __init__(self) -> None:
        self._logs: dict[tuple[str, int], list[Stored]] = defaultdict(list)

    def append(
        self,
        topic: AnyTopic,
        messages: Iterable[Any],
        partition: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Append messages to a partition; bytes, and None for a tombstone, as they are."""
        log = self._logs[topic.name, partition]
        for message in messages:
            raw = message is None or isinstance(message, bytes)
            value = message if raw else topic.encode(message)
            log.append(Stored(len(log), 0, b"" if raw else topic.key(message).encode(), value, headers))

    def ends(self, topic: str) -> Mapping[int, int]:
        """Return the end of each partition."""
        return {partition: len(log) for (name, partition), log in self._logs.items() if name == topic}

    def read(self, topic: str, partition: int, first: int, last: int) -> Iterable[Stored]:
        """Return the records of a partition from offset `first` to `last`."""
        return self._logs[topic, partition][first : last + 1]


def entry(task: str, sequence: int, *runs: tuple[str, int, int, int], **changed: Any) -> JournalEntry:
    """Return the journal's entry of a batch of a task, by its first epoch."""
    processor, _, partition = task.partition("/")
    fields: dict[str, Any] = {"processor": processor, "partition": int(partition), "epoch": 1, "sequence": sequence}
    return JournalEntry(event_id=f"{task}/{sequence}", event_time=0, runs=runs, **fields | changed)


def journalled(log: MemoryLog, *entries: JournalEntry) -> MemoryLog:
    """Return a log with these entries in its journal."""
    log.append(JOURNAL, entries)
    return log
