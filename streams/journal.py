"""The journal: what each batch read, in the order it was taken; and replay by it, which says the same once more."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from processors.base import AnyProcessor
from schemas.records import AnyRecord, AnyTopic, Record
from schemas.results import JournalEntry
from schemas.topics import JOURNAL
from streams.inbound import Edge, Inbound, Raw, is_told
from streams.outbox import Outbound, outbound
from streams.pipeline import Pipeline
from streams.repeats import Heard, unheard
from streams.table_contents import TableContents
from streams.task import Task

Entries = dict[int, JournalEntry]


class Log(Protocol):
    """Topics that can be read again, from any offset."""

    def ends(self, topic: str) -> Mapping[int, int]:
        """Return the end of each partition: one more than its last offset."""
        ...

    def read(self, topic: str, partition: int, first: int, last: int) -> Iterable[Raw]:
        """Return the records of a partition from offset `first` to `last`, those that are still there."""
        ...


class Begin(NamedTuple):
    """A task as it stood after a commit: where a replay of it may begin. A task begins with nothing.

    `tables` are the entries (topic, partition, record) that its tables had by then, in the order of their offsets.
    """

    sequence: int = 0
    watermark: int = -1
    sources: Sequence[tuple[str, int, int]] = ()
    heard: Mapping[str, tuple[int, int]] = MappingProxyType({})
    dues: Mapping[str, int] = MappingProxyType({})
    states: Mapping[str, Any] = MappingProxyType({})
    tables: Sequence[tuple[str, int, Raw]] = ()


NOTHING = Begin()


class JournalReplay:
    """Every task of a pipeline, stepped through the batches that the live engine committed.

    Each task reads its inputs from the log, those that other tasks said included, and its tables as they were at each
    batch. So it is exact for as long as the log keeps what was read. `tasks` hold the states, by "processor/partition",
    and `heard` what each has heard of its sources.
    """

    def __init__(self, pipeline: Pipeline, log: Log, edge: Edge) -> None:
        self.tasks: dict[str, Task] = {}
        self.heard: dict[str, Heard] = {}
        self._log = log
        self._edge = edge
        self._pipeline = pipeline
        self._processors = {processor.name: processor for processor in pipeline.processors}

    def records(self) -> Iterator[AnyRecord]:
        """Step everything, one task after the other; yield all that is said, dead letters included."""
        for (name, partition), entries in sorted(journal(self._log).items()):
            yield from self.task(name, partition, [entry for _, entry in sorted(entries.items())])

    def task(
        self, name: str, partition: int, entries: Iterable[JournalEntry], begin: Begin = NOTHING
    ) -> Iterator[AnyRecord]:
        """Step one task through its entries, which follow where it begins; yield all that it says."""
        processor = self._processors[name]
        contents = TableContents(processor.tables)
        for topic, at, raw in begin.tables:
            contents.apply(topic, at, raw)
        task = self.tasks[f"{name}/{partition}"] = Task(processor, dict(begin.states), contents.tables, partition)
        task.resume(begin.watermark, begin.sources, begin.dues)
        heard = self.heard[f"{name}/{partition}"] = dict(begin.heard)
        first_of = self._pipeline.first_of(processor)
        for entry in entries:
            self._advance(contents, entry.tables)
            for item in unheard(self._read(processor, entry), heard):
                if not item.bad:
                    yield from task.step(item.record)
                elif is_told(item, first_of, self._pipeline.tables):
                    yield item.record

    def _advance(self, contents: TableContents, positions: Mapping[str, Mapping[int, int]]) -> None:
        """Read on in the tables of a processor; a worker journals where those of all its processors stood."""
        for topic in contents.positions:
            for partition, last in positions.get(topic, {}).items():
                first = contents.positions[topic].get(partition, -1) + 1
                for raw in self._log.read(topic, partition, first, last):
                    contents.apply(topic, partition, raw)

    def _read(self, processor: AnyProcessor, entry: JournalEntry) -> Iterator[Inbound]:
        topics: dict[str, AnyTopic] = {topic.name: topic for topic in processor.inputs}
        for topic, partition, first, last in entry.runs:
            deadly = [offset for of, offset in entry.quarantined if of == topic]
            raws = list(self._log.read(topic, partition, first, last))
            yield from self._edge.admit(topics[topic], partition, raws, deadly)


def replay_journal(pipeline: Pipeline, log: Log, edge: Edge) -> Iterator[AnyRecord]:
    """Yield everything the live engine said, each id once: the oracle of what stands on its output topics.

    Raises BadMessage for a journal entry or table that cannot be decoded, KeyError for one of another pipeline.
    """
    return JournalReplay(pipeline, log, edge).records()


def journal(log: Log, tasks: Collection[str] | None = None) -> dict[tuple[str, int], Entries]:
    """Return the committed batches of each task (processor, partition), or of those in `tasks`, by sequence.

    An entry that was produced again has the same bytes. Where a store lost its last commits, their sequences were given
    a second time: the newest epoch's is the one that counts.
    """
    found: dict[tuple[str, int], Entries] = {}
    for partition, end in log.ends(JOURNAL.name).items():
        for raw in log.read(JOURNAL.name, partition, 0, end - 1):
            if tasks is not None and (raw.key or b"").decode() not in tasks:
                continue
            entry = JOURNAL.decode(raw.value)
            entries = found.setdefault((entry.processor, entry.partition), {})
            known = entries.get(entry.sequence)
            if known is None or known.epoch < entry.epoch:
                entries[entry.sequence] = entry
    return found


def journalled(entry: JournalEntry) -> Outbound:
    """Return a journal entry as it goes out."""
    return outbound(Record(JOURNAL, entry, entry.event_id), JOURNAL.encode(entry))


def runs(items: Sequence[Inbound], partition: int) -> tuple[tuple[str, int, int, int], ...]:
    """Return the records as runs (topic, partition, first offset, last offset) in the order they were taken."""
    found: list[list[Any]] = []
    for item in items:
        if found and found[-1][0] == item.topic.name and item.offset == found[-1][3] + 1:
            found[-1][3] = item.offset
        else:
            found.append([item.topic.name, partition, item.offset, item.offset])
    return tuple((topic, at, first, last) for topic, at, first, last in found)
