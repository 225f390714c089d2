"""One batch of a task: what it takes, what was said of it, and both as one commit."""

from collections.abc import Mapping, Sequence
from time import time
from typing import NamedTuple

import msgspec

from processors.base import AnyProcessor
from schemas.records import AnyRecord
from schemas.results import JournalEntry
from sinks.base import Progress
from sinks.serving import Served, serve
from sinks.store import Commit, Position
from streams.inbound import Inbound
from streams.journal import journalled, runs
from streams.outbox import Outbound, outbound, pack
from streams.repeats import Heard
from streams.task import Task


def setup_of(processor: AnyProcessor) -> str:
    """Return what names the setup of a processor, "" where there is only one."""
    return str(getattr(processor, "setup", ""))


class Meta(msgspec.Struct, array_like=True, frozen=True):
    """What a task remembers beside its states: watermarks, and the last record taken of each internal source.

    `setup` names what the states are made by, where a processor can be set up to make others; see Processor.
    """

    watermark: int = -1
    sources: list[tuple[str, int, int]] = []
    last: Heard = {}
    setup: str = ""

    @classmethod
    def of(cls, task: Task, heard: Heard) -> "Meta":
        """Return what a task remembers as it stands."""
        return cls(task.watermark, task.sources(), heard, setup_of(task.processor))


class Batch(NamedTuple):
    """Records that the checkpoint lacks: all of them, those to step, and what will have been heard by then."""

    ahead: list[Inbound]
    fresh: list[Inbound]
    heard: Heard


class Stepped(NamedTuple):
    """A batch that its task has stepped: what was said, what the task remembers now, and the table positions it saw."""

    task: Task
    batch: Batch
    said: Sequence[AnyRecord]
    meta: Meta
    tables: dict[str, dict[int, int]]

    def commit(
        self, epoch: int, sequence: int, states: dict[str, bytes | None], offsets: Mapping[Position, int]
    ) -> tuple[list[Outbound], Commit]:
        """Return the records to produce, and the commit that stores them first.

        `states` are those that changed, encoded; `offsets` the last one taken of each input before this batch.
        """
        task, batch = self.task, self.batch
        outgoing: list[Outbound] = []
        served: list[Served] = []
        for record in self.said:
            value = record.topic.encode(record.message)
            outgoing.append(outbound(record, value))
            served.extend(serve(record, value))
        outgoing.append(journalled(self._entry(epoch, sequence)))
        return outgoing, Commit(
            sequence=sequence,
            states=states,
            dues=task.changed_dues(),
            offsets={**offsets, **{Position(item.topic.name, task.partition): item.offset for item in batch.ahead}},
            meta=msgspec.msgpack.encode(self.meta),
            outbox=pack(outgoing),
            served=tuple(served),
            progress=msgspec.json.encode(Progress(task.reached, round(time() * 1000))),
        )

    def _entry(self, epoch: int, sequence: int) -> JournalEntry:
        name, partition = self.task.processor.name, self.task.partition
        return JournalEntry(
            event_id=f"{name}/{partition}/{sequence}",
            event_time=max(self.task.watermark, 0),
            processor=name,
            partition=partition,
            epoch=epoch,
            sequence=sequence,
            runs=runs(self.batch.fresh, partition),
            tables=self.tables,
            quarantined=tuple((item.topic.name, item.offset) for item in self.batch.fresh if item.quarantined),
        )
