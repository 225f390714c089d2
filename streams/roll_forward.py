"""Rolling forward: tasks are stepped by their journal from where a backup has them, or from nothing, to its end.

What they said is not said again, since it stands on its topics. So live workers go on as if nothing had happened.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from time import time
from typing import NamedTuple

import msgspec
from redis.asyncio import Redis

from processors.base import AnyProcessor
from schemas.results import JournalEntry
from schemas.topics import BY_NAME, MODELS
from sinks.base import Encoded, Progress
from sinks.checkpoint import RedisStore
from sinks.connection import busy_when_away
from sinks.redis_copy import set_sequence
from sinks.serving import Keep, ServingSink, apply, served_of
from sinks.store import Commit, Position
from streams.batch import Meta
from streams.decision_log import KeyedLog, Unreplayable, followed
from streams.inbound import Edge
from streams.journal import NOTHING, Begin, JournalReplay, Log, journal
from streams.pipeline import Pipeline
from streams.state_codec import state_codec
from streams.task import Task

CHUNK = 2_000
"""States in one commit, and results in one script: Redis serves nobody else meanwhile."""

Offsets = Mapping[Position, int]
Begins = Callable[[AnyProcessor, str], tuple[Begin, Offsets]]
"""Returns how a task stands before, and the last offsets it has taken."""

Ends = Mapping[str, Mapping[int, int]]
Tell = Callable[[str], None]


class Rolled(NamedTuple):
    """A task at the end of its journal: the states that have changed by then, and all that a checkpoint has."""

    name: str
    sequence: int
    commits: int
    offsets: Offsets
    meta: bytes
    reached: int
    states: dict[str, bytes | None]
    dues: dict[str, int]


def from_nothing(_processor: AnyProcessor, _task: str) -> tuple[Begin, Offsets]:
    """Know of no task."""
    return NOTHING, {}


def rolled_forward(pipeline: Pipeline, log: Log, edge: Edge, begins: Begins, tell: Tell) -> list[Rolled]:
    """Return how every task stands whose journal has commits behind where it begins.

    Raises Unreplayable where the log does not keep all that these commits read.
    """
    tell("reading the journal")
    found = journal(log)
    # Which models scored at a terminal is no part of its state: what compaction has dropped of them is no loss.
    whole = KeyedLog(log, (), pipeline.tables, frozenset(BY_NAME), kept={MODELS.name: ()})
    rolled = []
    for processor in pipeline.processors:
        for partition in sorted(at for name, at in found if name == processor.name):
            task = f"{processor.name}/{partition}"
            begin, offsets = begins(processor, task)
            _refuse_foreign(log, task, offsets)
            if entries := followed(task, found[processor.name, partition], begin.sequence):
                tell(f"stepping {task}: {len(entries):,} commits")
                replay = JournalReplay(pipeline, whole, edge)
                for _ in replay.task(processor.name, partition, entries, begin):
                    pass
                meta = Meta.of(replay.tasks[task], replay.heard[task])
                rolled.append(_rolled(task, replay.tasks[task], entries, offsets, meta))
    return rolled


def _refuse_foreign(log: Log, task: str, offsets: Offsets) -> None:
    for (topic, partition), last in offsets.items():
        if last >= (end := log.ends(topic).get(partition, 0)):
            raise Unreplayable(
                f"{task} has taken {topic}/{partition} to offset {last}, but the log ends at {end}: it is the state of "
                "another cluster. Restore its topics first, or set HEADRACE_KAFKA"
            )


def _rolled(name: str, task: Task, entries: Sequence[JournalEntry], offsets: Offsets, meta: Meta) -> Rolled:
    encode = state_codec(task.processor).encode
    taken = dict(offsets)
    for entry in entries:
        for topic, partition, _, last in entry.runs:
            at = Position(topic, partition)
            taken[at] = max(last, taken.get(at, -1))
    return Rolled(
        name=name,
        sequence=entries[-1].sequence,
        commits=len(entries),
        offsets=taken,
        meta=msgspec.msgpack.encode(meta),
        reached=task.reached,
        states={key: encode(task.states[key]) if key in task.states else None for key in task.changed},
        dues=task.changed_dues(),
    )


async def write_rolled(client: Redis, rolled: Rolled) -> None:
    """Write a task as it stands at the end of its journal, over what it was. Raises SinkBusy, and Fenced."""
    store = RedisStore(client)
    claim = await store.claim(rolled.name)
    progress = msgspec.json.encode(Progress(rolled.reached, round(time() * 1000)))
    sequence, keys = claim.sequence, iter(rolled.states)
    while (chunk := list(islice(keys, CHUNK))) or sequence == claim.sequence:
        sequence += 1
        commit = Commit(
            sequence=sequence,
            states={key: rolled.states[key] for key in chunk},
            dues={key: rolled.dues[key] for key in chunk if key in rolled.dues},
            offsets=dict(rolled.offsets),
            meta=rolled.meta,
            outbox=b"",
            progress=progress,
        )
        await store.commit(rolled.name, claim.epoch, commit)
    await set_sequence(client, rolled.name, rolled.sequence)


async def serve_again(client: Redis, log: Log, since: Ends, tell: Tell) -> int:
    """Serve the results that stand on their topics from `since` on, and return how many. Raises SinkBusy."""
    count = 0
    for topic in ServingSink.inputs:
        tell(f"serving {topic.name}")
        for partition, end in log.ends(topic.name).items():
            said = _said(log, topic.name, partition, since.get(topic.name, {}).get(partition, 0), end)
            while chunk := list(islice(said, CHUNK)):
                with busy_when_away():
                    await apply(client, served_of(chunk, Keep()))
                count += len(chunk)
    return count


def _said(log: Log, topic: str, partition: int, first: int, end: int) -> Iterator[Encoded]:
    for raw in log.read(topic, partition, first, end - 1):
        if raw.value is not None:
            yield Encoded(topic, raw.value)
