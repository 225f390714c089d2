"""Engine 1: the whole pipeline in one process, for tests, backfill, backtests and the demo."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from schemas.records import AnyRecord, AnyTopic
from streams.pipeline import Pipeline
from streams.task import Task


class Replay:
    """The pipeline over one partition of every topic, with its state in memory.

    Records are stepped in the order given, and what is said is stepped before the next one.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.tables: dict[AnyTopic, dict[str, Any]] = {topic: {} for topic in pipeline.tables}
        self.tasks = {processor.name: Task(processor, {}, self.tables) for processor in pipeline.processors}
        self._readers = {
            topic: tuple(self.tasks[processor.name] for processor in pipeline.readers(topic))
            for topic in (*pipeline.sources, *pipeline.outputs)
        }

    def step(self, record: AnyRecord) -> Iterator[AnyRecord]:
        """Step one record and everything that comes of it; yield all that is said, in order."""
        waiting = deque((record,))
        readers, tables = self._readers, self.tables
        if record.topic in tables:
            tables[record.topic][record.key] = record.message
        while waiting:
            current = waiting.popleft()
            for task in readers.get(current.topic, ()):
                for said in task.step(current):
                    if said.topic in tables:
                        tables[said.topic][said.topic.key(said.message)] = said.message
                    waiting.append(said)
                    yield said


def replay(pipeline: Pipeline, records: Iterable[AnyRecord]) -> Iterator[AnyRecord]:
    """Yield everything a pipeline says about the records, which come in the order they are to be stepped."""
    engine = Replay(pipeline)
    for record in records:
        yield from engine.step(record)
