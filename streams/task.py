"""A task: one processor over one partition. Both engines step records through it, so both say the same."""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from heapq import heapify, heappop, heappush
from typing import Any

from processors.base import AnyProcessor, Tables
from schemas.records import DUE, AnyRecord, Due, Record

States = MutableMapping[str, Any]
NEVER = -1


class Task:
    """Steps records of one partition through a processor, in the order given.

    `states` maps keys to states; `changed` collects the keys whose state was stepped since `begin`. The watermark is
    the newest event time stepped, held back to the slowest source for records that carry their source's watermark.
    """

    def __init__(self, processor: AnyProcessor, states: States, tables: Tables, partition: int = 0) -> None:
        self.processor = processor
        self.states = states
        self.partition = partition
        self.watermark = NEVER
        self.changed: dict[str, None] = {}
        self._tables = tables
        self._sources: dict[tuple[str, int], int] = {}
        self._dues: list[tuple[int, str]] = []
        self._waits = hasattr(processor.state, "__annotations__") and "due" in processor.state.__annotations__

    def resume(self, watermark: int, sources: Iterable[tuple[str, int, int]], dues: Mapping[str, int]) -> None:
        """Go on from a checkpoint: the watermark, (topic, source partition, watermark) of each source, and all dues."""
        self.watermark = watermark
        self._sources = {(topic, source): mark for topic, source, mark in sources}
        self._dues = [(at, key) for key, at in dues.items()]
        heapify(self._dues)

    def sources(self) -> list[tuple[str, int, int]]:
        """Return (topic, source partition, watermark) of each source, for a checkpoint."""
        return [(topic, source, mark) for (topic, source), mark in self._sources.items()]

    def changed_dues(self) -> dict[str, int]:
        """Return what each changed state waits for, where it waits."""
        if not self._waits:
            return {}
        waiting = {key: self.states[key].due for key in self.changed if key in self.states}
        return {key: due for key, due in waiting.items() if due is not None}

    def due_keys(self, until: int) -> list[str]:
        """Return the keys that are due before `until`, without taking them off."""
        dues, found, look = self._dues, [], [0]
        while look:
            at = look.pop()
            if at < len(dues) and dues[at][0] < until:
                found.append(dues[at][1])
                look += (2 * at + 1, 2 * at + 2)
        return found

    def step(self, record: AnyRecord) -> Iterator[AnyRecord]:
        """Step every due that the record's time passes, then the record; yield what is said, each with its id."""
        self._move(record)
        if self._waits:
            yield from self._step_dues()
        yield from self._step_one(record, record.topic.key(record.message))

    def _step_one(self, record: AnyRecord, key: str) -> Iterator[AnyRecord]:
        processor, states = self.processor, self.states
        before = states.get(key)
        state, said = processor.step(before, record, self._tables)
        self.changed[key] = None
        if state is None:
            states.pop(key, None)
        else:
            states[key] = state
            if self._waits:
                self._wait(key, state.due)
        for n, (topic, message) in enumerate(said):
            yield Record(
                topic, message, f"{record.id}>{processor.name}.{n}", source=self.partition, watermark=self.watermark
            )

    def _move(self, record: AnyRecord) -> None:
        if record.watermark is None:
            time = record.topic.time(record.message) - record.topic.lateness_ms
        else:
            time = self._slowest(record.topic.name, record.source, record.watermark)
        self.watermark = max(self.watermark, time)

    def _slowest(self, topic: str, source: int, watermark: int) -> int:
        sources = self._sources
        if len(sources) == 1 and (topic, source) in sources:
            sources[topic, source] = watermark
            return watermark
        sources[topic, source] = max(watermark, sources.get((topic, source), NEVER))
        return min(mark for (of, _), mark in sources.items() if of == topic)

    def _wait(self, key: str, due: int | None) -> None:
        if due is not None:
            heappush(self._dues, (due, key))

    def _step_dues(self) -> Iterator[AnyRecord]:
        dues = self._dues
        while dues and dues[0][0] < self.watermark:
            at, key = heappop(dues)
            state = self.states.get(key)
            if state is None or state.due != at:
                continue
            due: AnyRecord = Record(DUE, Due(key, at), f"{key}@{at}", partition=self.partition)
            yield from self._step_one(due, key)
