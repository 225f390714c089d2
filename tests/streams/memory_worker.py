"""A worker in memory: the lanes of a pipeline over a log and a store of this process, journal and restarts included."""

import asyncio
from collections.abc import Iterable, Sequence

from schemas.privacy import Tokeniser
from schemas.records import AnyRecord
from schemas.topics import ALL, BY_NAME
from sinks.memory_store import MemoryStore
from sinks.store import Store
from streams.inbound import Edge
from streams.kafka_log import Stored
from streams.lane import Lane
from streams.outbox import Outbound, origin_header
from streams.partitioning import partition_of
from streams.pipeline import Pipeline
from streams.sealing import Seal
from streams.surroundings import Surroundings
from streams.table_contents import TableContents
from tests.streams.memory_log import MemoryLog

EDGE = Edge(Tokeniser({"1": b"key"}), Seal(b"key"))


class Cluster(MemoryLog):
    """A log with every topic of headrace, to which records are appended by their keys."""

    def __init__(self) -> None:
        super().__init__()
        for topic in ALL:
            for partition in range(topic.partitions):
                self.read(topic.name, partition, 0, -1)

    def publish(self, records: Iterable[AnyRecord]) -> None:
        """Append records as apps do."""
        for record in records:
            self.put(record.topic.name, record.key, record.topic.encode(record.message))

    def put(self, topic: str, key: str, value: bytes, headers: Sequence[tuple[str, bytes]] = ()) -> tuple[int, Stored]:
        """Append one record; return its partition, and the record."""
        partition = partition_of(key, BY_NAME[topic].partitions)
        log = self._logs[topic, partition]
        log.append(Stored(len(log), 0, key.encode(), value, headers))
        return partition, log[-1]

    def end(self, topic: str, partition: int) -> int:
        """Return the end of one partition."""
        return len(self._logs[topic, partition])

    def all_of(self, topic: str) -> list[Stored]:
        """Return the records of all partitions of a topic."""
        return [raw for partition, end in self.ends(topic).items() for raw in self.read(topic, partition, 0, end - 1)]


class MemoryWorker:
    """Runs every lane of a pipeline until it has taken all there is in the log."""

    def __init__(self, pipeline: Pipeline, log: Cluster, store: Store | None = None, batch: int = 100) -> None:
        self.store = MemoryStore() if store is None else store
        self._pipeline = pipeline
        self._log = log
        self._batch = batch
        self._tables = TableContents(pipeline.tables)
        self._fed: dict[tuple[str, str, int], int] = {}
        for name in self._tables.positions:
            for partition, end in log.ends(name).items():
                for raw in log.read(name, partition, 0, end - 1):
                    self._tables.apply(name, partition, raw)

    def live(self, records: Sequence[AnyRecord], stages: int = 1) -> None:
        """Publish records in so many parts, and take each before the next comes, as a worker that starts anew."""
        size = -(-len(records) // stages)
        for start in range(0, len(records), size):
            self._log.publish(records[start : start + size])
            asyncio.run(self.drain())

    async def drain(self) -> None:
        """Claim all tasks, take what there is, and end in peace."""
        lanes = [
            Lane(processor, partition, self._surroundings(processor.name))
            for processor in self._pipeline.processors
            for partition in range(processor.inputs[0].partitions)
        ]
        for lane in lanes:
            for position, offset in (await lane.claim()).items():
                self._fed[lane.name, position.topic, position.partition] = offset + 1
        running = [asyncio.create_task(lane.run()) for lane in lanes]
        while sum(map(self._feed, lanes)) or not all(map(self._has_taken_all, lanes)):
            await asyncio.sleep(0)
        for lane in lanes:
            lane.stop()
        await asyncio.gather(*running)
        for lane in lanes:
            await lane.settle()

    async def produce(self, task: str, sequence: int, said: Sequence[Outbound]) -> None:
        """Append what a task said, as Deliveries does."""
        for n, each in enumerate(said):
            headers = [origin_header(task, sequence, n, each)]
            partition, raw = self._log.put(each.topic, each.key, each.value, headers)
            if each.topic in self._tables.positions:
                self._tables.apply(each.topic, partition, raw)

    def _feed(self, lane: Lane) -> int:
        """Give a lane what is new in its inputs; return how much there was."""
        fed = 0
        for topic in lane.processor.inputs:
            at = (lane.name, topic.name, lane.partition)
            first, end = self._fed.get(at, 0), self._log.end(topic.name, lane.partition)
            if first < end:
                self._fed[at] = end
                fed += end - first
                raws = list(self._log.read(topic.name, lane.partition, first, end - 1))
                lane.put(topic.name, EDGE.admit(topic, lane.partition, raws))
        return fed

    def _has_taken_all(self, lane: Lane) -> bool:
        taken = {(position.topic, position.partition): offset + 1 for position, offset in lane.offsets.items()}
        return all(
            taken.get((topic.name, lane.partition), 0) == self._log.end(topic.name, lane.partition)
            for topic in lane.processor.inputs
        )

    def _surroundings(self, name: str) -> Surroundings:
        return Surroundings(
            store=self.store,
            deliveries=self,  # type: ignore[arg-type]
            tables=self._tables.tables,
            table_positions=self._tables.snapshot,
            at_end=lambda topic, at: self._fed.get((f"{name}/{at}", topic, at), 0) == self._log.end(topic, at),
            reached=lambda _: None,
            pipeline=self._pipeline,
            batch=self._batch,
        )
