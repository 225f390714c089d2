"""Backfill: history through the in-process engine, one task for each partition, up to where live workers go on."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from schemas.privacy import Tokeniser
from schemas.records import DAY, AnyRecord, AnyTopic
from schemas.topics import FEEDBACK, SCORES, TRANSACTIONS
from sinks.serving import ServingSink
from streams.evaluation import labelled_sources
from streams.mappings import Mapping as FileMapping
from streams.mappings import feedback_on, records, with_feedback
from streams.partitioning import partition_of
from streams.pipeline import Pipeline
from streams.task import Task

Said = tuple[str, AnyRecord]
"""The task that said a record, and the record."""


class PartitionedReplay:
    """The pipeline in one process, with a task for every partition: each state is where a live worker looks for it.

    `partitions` counts those of every topic that is read. Records are stepped in the order given, and what is said is
    stepped before the next one. `changed` of the tasks stays empty, since everything is kept in memory.
    """

    def __init__(self, pipeline: Pipeline, partitions: Mapping[str, int]) -> None:
        self.tables: dict[AnyTopic, dict[str, Any]] = {topic: {} for topic in pipeline.tables}
        self.tasks: dict[str, Task] = {}
        self._partitions = partitions
        self._readers: dict[AnyTopic, list[list[tuple[str, Task]]]] = {}
        for processor in pipeline.processors:
            count = partitions[processor.inputs[0].name]
            tasks = [(f"{processor.name}/{at}", Task(processor, {}, self.tables, at)) for at in range(count)]
            self.tasks |= tasks
            for topic in processor.inputs:
                self._readers.setdefault(topic, []).append(tasks)

    def step(self, record: AnyRecord) -> Iterator[Said]:
        """Step one record from outside and everything that comes of it; yield all that is said, in order."""
        at = partition_of(record.key, self._partitions[record.topic.name])
        waiting = deque((msgspec.structs.replace(record, partition=at, offset=-1),))
        while waiting:
            current = waiting.popleft()
            if current.topic in self.tables:
                self.tables[current.topic][current.key] = current.message
            for tasks in self._readers.get(current.topic, ()):
                name, task = tasks[partition_of(current.key, len(tasks))]
                for said in task.step(current):
                    waiting.append(said)
                    yield name, said
                task.changed.clear()


@dataclass
class Backfill:
    """A pipeline being stepped through history, and what has come of it so far.

    `until` is the time before which history is covered: one millisecond after the newest event. What was said within
    `served_ms` (event time) of the newest is `recent`, for those who read results; `newest` is the last message of each
    key of every table. `counts` are records by topic, those from outside and those said.
    """

    engine: PartitionedReplay
    served_ms: int = 7 * DAY
    until: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    recent: deque[Said] = field(default_factory=deque)
    newest: dict[tuple[str, str], Said] = field(default_factory=dict)

    def step(self, record: AnyRecord) -> Sequence[Said]:
        """Step one record from outside; return all that is said, in order."""
        self.until = max(self.until, record.time + 1)
        self._count(record)
        said = list(self.engine.step(record))
        for each in said:
            self._keep(*each)
        while self.recent and self.recent[0][1].time < self.until - self.served_ms:
            self.recent.popleft()
        return said

    @property
    def events(self) -> int:
        """How many transactions have been stepped, repeats included."""
        return self.counts.get(TRANSACTIONS.name, 0)

    @property
    def scores(self) -> int:
        """How many scores were said."""
        return self.counts.get(SCORES.name, 0)

    def _keep(self, task: str, record: AnyRecord) -> None:
        self._count(record)
        if record.topic in ServingSink.inputs:
            self.recent.append((task, record))
        if record.topic in self.engine.tables:
            self.newest[record.topic.name, record.key] = task, record

    def _count(self, record: AnyRecord) -> None:
        name = record.topic.name
        self.counts[name] = self.counts.get(name, 0) + 1


@dataclass(frozen=True)
class History:
    """Files of transactions in order of time, and how their rows become messages.

    Where the mapping names a label, each fraud is charged back `label_delay_ms` after it. A row that is no message
    raises BadMessage.
    """

    files: Sequence[Path]
    mapping: FileMapping | None
    label_delay_ms: int
    tokeniser: Tokeniser

    @property
    def covers(self) -> frozenset[str]:
        """The topics of which history has everything before its end."""
        return frozenset({TRANSACTIONS.name, FEEDBACK.name} if self._labelled else {TRANSACTIONS.name})

    def records(self) -> Iterator[AnyRecord]:
        """Yield the transactions, and the labels that were known before the last of them."""
        transactions = (
            record
            for path in self.files
            for record in records(path, TRANSACTIONS, self.mapping, tokeniser=self.tokeniser)
        )
        if self.mapping is None or not self._labelled:
            return transactions
        _, frauds = labelled_sources(self.files, self.mapping, self.label_delay_ms)
        delay = self.label_delay_ms
        return known_by_the_last(
            with_feedback((each, feedback_on(each, delay) if each.id in frauds else None) for each in transactions)
        )

    @property
    def _labelled(self) -> bool:
        return self.mapping is not None and self.mapping.label is not None


def known_by_the_last(records: Iterable[AnyRecord]) -> Iterator[AnyRecord]:
    """Yield the records up to the last transaction: the labels that come after it are for live workers to hear."""
    held: list[AnyRecord] = []
    for record in records:
        held.append(record)
        if record.topic is TRANSACTIONS:
            yield from held
            held.clear()
