"""Workers as processes of their own: what they are given, what they say, and how far they have come."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import msgspec
from confluent_kafka import Consumer, TopicPartition
from redis import Redis

from schemas.privacy import Tokeniser
from schemas.records import AnyTopic
from schemas.topics import ALL
from streams.inbound import Edge
from streams.journal import JournalReplay
from streams.kafka_log import KafkaLog, Stored
from streams.outbox import origin
from streams.pipeline import Pipeline
from streams.sealing import Seal
from streams.services.supervisor import Part, up
from streams.settings import Settings
from streams.state_codec import state_codec
from streams.task import Task
from streams.topic_admin import delete_topics, renew_topics

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0
POLL_SECONDS = 0.1


def until(reached: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Return as soon as something is so. Fails when it does not become so in time."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(POLL_SECONDS)


@dataclass(frozen=True)
class Stage:
    """A broker and a Redis with nothing of an earlier test in them, for one pipeline."""

    broker: str
    redis: str
    pipeline: Pipeline
    folder: Path
    settings: Mapping[str, str]
    group: str = field(default_factory=lambda: f"workers-{uuid4()}")

    @property
    def inputs(self) -> list[AnyTopic]:
        """The topics that some processor reads."""
        return list({topic.name: topic for each in self.pipeline.processors for topic in each.inputs}.values())

    @contextmanager
    def set_up(self, topics: Sequence[AnyTopic]) -> Iterator[None]:
        """Begin with empty topics and an empty Redis, and leave neither behind."""
        renew_topics(self.broker, topics)
        try:
            yield
        finally:
            with Redis.from_url(self.redis) as client:
                client.flushdb()
            delete_topics(self.broker, [topic.name for topic in topics])

    @contextmanager
    def worker(self, command: Sequence[str] = ("streams", "worker"), **settings: str) -> Iterator["Running"]:
        """Run a worker; what still runs at the end is killed."""
        environment = os.environ | {
            "HEADRACE_KAFKA": self.broker,
            "HEADRACE_REDIS": self.redis,
            "HEADRACE_GROUP": self.group,
            "HEADRACE_THROW_AWAY": "1",
            "HEADRACE_SESSION_TIMEOUT": "6s",
            **{f"HEADRACE_{name.upper()}": value for name, value in {**self.settings, **settings}.items()},
        }
        path = self.folder / f"worker-{time.monotonic_ns()}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], env=environment, cwd=ROOT, stdout=log, stderr=log
            )
        try:
            yield Running(process, path)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)

    def ends(self, topics: Sequence[AnyTopic]) -> dict[tuple[str, int], int]:
        """Return the end of each partition."""
        with closing_log(self.broker) as log:
            return {(topic.name, at): end for topic in topics for at, end in log.ends(topic.name).items()}

    def count(self, topic: AnyTopic) -> int:
        """Return how many records a topic has, repeats included."""
        return sum(self.ends([topic]).values())

    def checkpoints(self) -> dict[str, dict[tuple[str, int], int]]:
        """Return the offset that each task goes on from, in each of its input partitions."""
        with Redis.from_url(self.redis) as client:
            found = {key.decode()[4:-12]: client.hget(key, "offsets") for key in client.keys("hr:{*}:checkpoint")}
        return {
            task: {(topic, at): offset + 1 for topic, at, offset in msgspec.json.decode(offsets or b"[]")}
            for task, offsets in found.items()
        }

    def states(self) -> dict[str, dict[str, bytes]]:
        """Return the encoded state of every key, by task; those with none are left out."""
        found: dict[str, dict[str, bytes]] = {}
        with Redis.from_url(self.redis) as client:
            for task in self.checkpoints():
                path = f"hr:{{{task}}}:state:"
                keys = client.keys(path.replace("[", "\\[") + "*")
                values = client.mget(keys) if keys else []
                found[task] = {key.decode()[len(path) :]: value for key, value in zip(keys, values, strict=True)}
        return {task: states for task, states in found.items() if states}

    @contextmanager
    def journal(self, settings: Settings) -> Iterator[JournalReplay]:
        """Return the pipeline to be stepped by the journal, with a worker's settings."""
        edge = Edge(Tokeniser({"1": settings.key("tokens")}), Seal(settings.key("dead-letters")))
        with closing_log(self.broker) as log:
            yield JournalReplay(self.pipeline, log, edge)

    def caught_up(self) -> bool:
        """Return whether every task has taken all there is, and nothing new comes of it."""
        before = self.ends(self.inputs)
        checkpoints = self.checkpoints()
        for processor in self.pipeline.processors:
            for topic in processor.inputs:
                for partition in range(topic.partitions):
                    taken = checkpoints.get(f"{processor.name}/{partition}", {}).get((topic.name, partition), 0)
                    if taken != before[topic.name, partition]:
                        return False
        time.sleep(3 * POLL_SECONDS)
        return before == self.ends(self.inputs)

    def committed(self) -> dict[tuple[str, int], int]:
        """Return what Kafka believes the workers' group has taken, where it believes anything."""
        consumer = Consumer({"bootstrap.servers": self.broker, "group.id": self.group})
        parts = [TopicPartition(topic.name, at) for topic in self.inputs for at in range(topic.partitions)]
        try:
            found = consumer.committed(parts, timeout=10)
        finally:
            consumer.close()
        return {(part.topic, part.partition): part.offset for part in found if part.offset >= 0}

    def records(self, topic: AnyTopic) -> list[Stored]:
        """Return all records of a topic, partition after partition."""
        with closing_log(self.broker) as log:
            return [each for at, end in log.ends(topic.name).items() for each in log.read(topic.name, at, 0, end - 1)]

    def by_key(self, topic: AnyTopic) -> dict[str, list[tuple[str, bytes]]]:
        """Return what was said on a topic, (id, bytes) by key in order, repeats dropped."""
        found: dict[str, dict[str, bytes]] = {}
        for record in self.records(topic):
            said = origin(record.headers)
            assert said is not None
            found.setdefault((record.key or b"").decode(), {}).setdefault(said.id, record.value or b"")
        return {key: list(of.items()) for key, of in found.items()}

    def said(self, topics: Sequence[AnyTopic]) -> dict[str, bytes]:
        """Return what was said, by id. Fails when one id has two contents."""
        found: dict[str, bytes] = {}
        for topic in topics:
            for record in self.records(topic):
                said = origin(record.headers)
                assert said is not None
                assert found.setdefault(said.id, record.value or b"") == record.value
        return found


@contextmanager
def staged(folder: Path, pipeline: Pipeline, settings: Mapping[str, str]) -> Iterator[Stage]:
    """Begin with all topics empty, in a folder's broker and Redis, which are started where a test has stopped them."""
    found = up(folder, (Part.KAFKA, Part.REDIS))
    assert found.kafka is not None
    assert found.redis is not None
    stage = Stage(found.kafka, found.redis, pipeline, folder, settings)
    with stage.set_up(ALL):
        yield stage


def encoded(tasks: Mapping[str, Task]) -> dict[str, dict[str, bytes]]:
    """Return the encoded states of tasks, as a store has them; those with none are left out."""
    return {
        name: {key: state_codec(task.processor).encode(state) for key, state in task.states.items()}
        for name, task in tasks.items()
        if task.states
    }


@dataclass(frozen=True)
class Running:
    """A worker's process."""

    process: "subprocess.Popen[bytes]"
    path: Path

    @property
    def log(self) -> str:
        """What it has written."""
        return self.path.read_text(errors="replace")

    def terminate(self) -> int:
        """Ask it to end, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.wait()

    def wait(self) -> int:
        """Return its exit status, once it has ended."""
        return self.process.wait(DEADLINE)

    def until(self, reached: Callable[[], bool], seconds: float = DEADLINE) -> None:
        """Return as soon as something is so. Fails when this worker ends, or time does."""
        try:
            until(lambda: self.process.poll() is not None or reached(), seconds)
        except AssertionError:
            raise AssertionError(f"not reached in time:\n{self.log[-4_000:]}") from None
        assert self.process.poll() is None, f"the worker ended with {self.process.returncode}:\n{self.log[-4_000:]}"


@contextmanager
def closing_log(broker: str) -> Iterator[KafkaLog]:
    """Read a broker's topics for as long as this lasts."""
    log = KafkaLog(broker)
    try:
        yield log
    finally:
        log.close()
