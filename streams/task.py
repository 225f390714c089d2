"""A task: one processor over one partition. Both engines step records through it, so both say the same."""

from collections.abc import Iterable, Mapping, MutableMapping
from heapq import heapify, heappop, heappush
from typing import Any

from processors.base import AnyProcessor, Tables
from schemas.records import DAY, DUE, AnyRecord, Due, Record

States = MutableMapping[str, Any]
NEVER = -1
SILENT = DAY
"""How much event time a source may be behind the newest one before it is taken to be silent, and not waited for."""


class Task:
    """Steps records of one partition through a processor, in the order given.

    `states` maps keys to states; `changed` collects the keys whose state was stepped since `begin`. The watermark is
    the newest event time stepped, held back to the slowest source for records that carry their source's watermark, but
    by no more than a day, for a source may have fallen silent. `reached` is that event time as it is.
    """

    def __init__(self, processor: AnyProcessor, states: States, tables: Tables, partition: int = 0) -> None:
        self.processor = processor
        self.states = states
        self.partition = partition
        self.watermark = NEVER
        self.reached = NEVER
        self.changed: dict[str, None] = {}
        self._tables = tables
        self._name = processor.name
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

    def step(self, record: AnyRecord) -> list[AnyRecord]:
        """Step every due that the record's time passes, then the record; return what is said, each with its id."""
        return self.take(record, record.topic.key(record.message), record.topic.time(record.message))

    def take(self, record: AnyRecord, key: str, time: int) -> list[AnyRecord]:
        """Do as `step` does, for whoever knows the record's key and time already."""
        said: list[AnyRecord] = []
        watermark = record.watermark
        self.reached = max(self.reached, time)
        if watermark is None:
            watermark = time - record.topic.lateness_ms
        else:
            watermark = self._slowest(record.topic.name, record.source, watermark)
        self.watermark = max(self.watermark, watermark)
        if self._dues and self._dues[0][0] < self.watermark:
            self._step_dues(said)
        self._step_one(record, key, said)
        return said

    def _step_one(self, record: AnyRecord, key: str, said: list[AnyRecord]) -> None:
        processor, states = self.processor, self.states
        state, messages = processor.step(states.get(key), record, self._tables)
        self.changed[key] = None
        if state is None:
            states.pop(key, None)
        else:
            states[key] = state
            if self._waits and state.due is not None:
                heappush(self._dues, (state.due, key))
        for n, (topic, message) in enumerate(messages):
            identity = f"{record.id}>{self._name}.{n}"
            said.append(Record(topic, message, identity, 0, -1, self.partition, self.watermark))

    def _slowest(self, topic: str, source: int, watermark: int) -> int:
        sources = self._sources
        if len(sources) == 1 and (topic, source) in sources:
            sources[topic, source] = watermark
            return watermark
        sources[topic, source] = max(watermark, sources.get((topic, source), NEVER))
        marks = [mark for (of, _), mark in sources.items() if of == topic]
        return max(min(marks), max(marks) - SILENT)

    def _step_dues(self, said: list[AnyRecord]) -> None:
        dues = self._dues
        while dues and dues[0][0] < self.watermark:
            at, key = heappop(dues)
            state = self.states.get(key)
            if state is not None and state.due == at:
                self._step_one(Record(DUE, Due(key, at), f"{key}@{at}", self.partition), key, said)
