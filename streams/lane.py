"""A lane: one task of a live worker. It merges, steps, commits, produces and only then goes on."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import time
from typing import NamedTuple

import msgspec
import structlog

from processors.base import AnyProcessor
from schemas.records import AnyRecord
from sinks.base import SinkBusy
from sinks.store import Claim, Commit, Fenced, Position
from streams.batch import Batch, Meta, Stepped, setup_of
from streams.inbound import Inbound, is_told
from streams.merge import Merge
from streams.outbox import Outbound, unpack
from streams.repeats import unheard
from streams.state_cache import StateCache
from streams.surroundings import Surroundings
from streams.suspicion import Suspicion
from streams.task import Task

log = structlog.get_logger()

IDLE_SECONDS = 0.002
FENCED_SECONDS = 3.0
"""How long a lane that another worker owns by now waits to be stopped, before it takes its task back."""

HELD_SECONDS = 1.0
COUNTED = ("records", "said", "dead_letters", "quarantined", "repeats", "fenced", "busy")
"""What a lane counts; `streams/metrics.py` tells what each is."""


class Forgotten(RuntimeError):
    """The store has lost commits that it had acknowledged. To go on would be to begin anew from what is left."""


class _Committed(NamedTuple):
    """A batch in the store: what the task remembers now, what it has said, and the commit."""

    meta: Meta
    outgoing: list[Outbound]
    commit: Commit


class OtherSetup(RuntimeError):
    """The states of a task were made by a processor that is set up otherwise, which this one cannot go on from."""


class Lane:
    """Steps one processor over one partition, exactly once in effect.

    Per batch: take merged records, skip what the checkpoint covers, load missing states, step, commit states, results,
    outbox and offsets in one fenced write, produce the outbox, go on. After any trouble with the store it claims the
    task again, produces the stored outbox again, and steps what the checkpoint does not cover.

    Where owners before it have died, it steps records one at a time, each noted in the store before; see Suspicion.

    `sequence` counts its commits. A lane that is to follow one that is known begins with that one's.
    """

    def __init__(
        self,
        processor: AnyProcessor,
        partition: int,
        surroundings: Surroundings,
        sequence: int = 0,
    ) -> None:
        self.processor = processor
        self.partition = partition
        self.name = f"{processor.name}/{partition}"
        self.offsets: dict[Position, int] = {}
        self.last_progress = time()
        self.counts = dict.fromkeys(COUNTED, 0)
        self.inputs = Merge([t.name for t in processor.inputs], lambda name: surroundings.at_end(name, partition))
        self._around = surroundings
        self._ring = surroundings.pipeline.ring(processor)
        self._first_of = surroundings.pipeline.first_of(processor)
        self._cache, self._task = self._empty()
        self._meta = Meta()
        self.suspicion = Suspicion(surroundings.batch)
        self._claim: Claim | None = None
        self.sequence = sequence
        self._delivered = False
        self._news = asyncio.Event()
        self._stopped = asyncio.Event()

    async def claim(self) -> Mapping[Position, int]:
        """Take the task over and return the last offset taken of each input; what was said last is said again.

        Raises SinkBusy, Forgotten where the store has lost commits that this lane, or one before it, knows of, and
        OtherSetup.
        """
        claim = await self._around.store.claim(self.name)
        if claim.sequence < self.sequence:
            raise Forgotten(f"the store has {claim.sequence} commits of {self.name}, and had {self.sequence}")
        self._claim, self.sequence, self.offsets = claim, claim.sequence, dict(claim.offsets)
        self._meta = msgspec.msgpack.decode(claim.meta, type=Meta) if claim.meta else Meta()
        if self._meta.setup not in ("", setup_of(self.processor)):
            raise OtherSetup(
                f"the states of {self.name} are of other definitions than there are now: set HEADRACE_FEATURES to "
                "what it was, or make them anew by `headrace rebuild`"
            )
        self.suspicion.claimed(claim.attempt)
        self._cache, self._task = self._empty()
        self._task.resume(self._meta.watermark, self._meta.sources, claim.dues)
        await self._around.deliveries.produce(self.name, claim.sequence, unpack(claim.outbox))
        self._delivered = bool(claim.outbox)
        return self.offsets

    def _empty(self) -> tuple[StateCache, Task]:
        cache = StateCache(self.processor, self.name, self._around.store, self._around.cache)
        return cache, Task(self.processor, cache.states, self._around.tables, self.partition)

    def reads(self, topic: str) -> bool:
        """Return whether a topic is an input of this lane."""
        return any(each.name == topic for each in self.processor.inputs)

    def put(self, topic: str, items: Sequence[Inbound]) -> None:
        """Append records of one input."""
        self.inputs.put(topic, items)
        self._news.set()

    def stop(self) -> None:
        """Finish the batch at hand, then end `run`."""
        self._stopped.set()
        self._news.set()

    async def run(self) -> None:
        """Step batches until stopped."""
        while await self._gather():
            taken = self.inputs.take(1 if self.suspicion.alone else self._around.batch, self._until())
            if not taken:
                await self._rest()
                continue
            try:
                await self._apply(taken)
            except (SinkBusy, Fenced) as trouble:
                self.inputs.put_back(taken)
                await self._recover(trouble)

    async def settle(self) -> None:
        """Tell the store that all was delivered, so that the next owner need not say it again. After `run` has ended.

        Does nothing where that is not certain, or the store is away, or the task belongs to another by now.
        """
        if not self._delivered:
            return
        nothing_new = Commit(self.sequence + 1, {}, {}, self.offsets, msgspec.msgpack.encode(self._meta), b"")
        with suppress(SinkBusy, Fenced):
            await self._around.store.commit(self.name, self._epoch, nothing_new)
        self._delivered = False

    @property
    def reached(self) -> int:
        """The newest event time stepped since the task was claimed, in milliseconds."""
        return self._task.reached

    def _until(self) -> int | None:
        """Return how far in event time this lane may read, so that those who answer it keep pace in a catch-up.

        Read from an old log, labels would otherwise come back to a customer long after the payments they should
        inform. Who has been held for a second goes on all the same.
        """
        oldest = self.inputs.oldest_time()
        if oldest is None or time() - self.last_progress > HELD_SECONDS:
            return None
        answered = [at for name in self._ring if (at := self._around.reached(name)) is not None]
        slowest = min(answered, default=None)
        if slowest is None or slowest >= self.reached:
            return oldest + self._around.skew
        return slowest + self._around.skew

    async def _gather(self) -> bool:
        """Wait for more records where nobody waits for them, and return whether to go on."""
        if self._around.linger and len(self.inputs) < self._around.batch and not self.suspicion.alone:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), self._around.linger)
        return not self._stopped.is_set()

    async def _rest(self) -> None:
        self._news.clear()
        timeout = IDLE_SECONDS if len(self.inputs) else None
        if not len(self.inputs):
            self.last_progress = time()
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except TimeoutError:
            return

    async def _recover(self, trouble: SinkBusy | Fenced) -> None:
        """Claim the task again, unless stopped: a rebalance that gave it to another will stop this lane too."""
        while True:
            self.counts["busy" if isinstance(trouble, SinkBusy) else "fenced"] += 1
            self.last_progress = time()
            wait = trouble.retry_after if isinstance(trouble, SinkBusy) else FENCED_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), wait)
                return
            try:
                await self.claim()
            except SinkBusy as again:
                trouble = again
            else:
                return

    async def _apply(self, taken: Sequence[Inbound]) -> None:
        batch = self._batch(taken)
        if not batch.ahead:
            return
        self._delivered = False
        made = await (self._committed_alone(batch) if self.suspicion.alone else self._committed(batch))
        self._meta, outgoing, commit = made
        self.sequence = commit.sequence
        self.suspicion.passed(len(taken))
        self._around.failpoint("committed")
        await self._around.deliveries.produce(self.name, commit.sequence, outgoing)
        self._around.failpoint("produced")
        self._delivered = True
        self.offsets.update(commit.offsets)
        self.last_progress = time()
        self._cache.evict()

    async def _committed(self, batch: Batch) -> _Committed:
        await self._note_attempt(batch)
        await self._load(batch.fresh)
        async with self._around.stepping:
            made = self._stepped(batch)
        await self._around.store.commit(self.name, self._epoch, made.commit)
        return made

    async def _committed_alone(self, batch: Batch) -> _Committed:
        """Do so while nobody else steps anything: what the process dies of is then what was noted."""
        async with self._around.stepping:
            await self._note_attempt(batch)
            await self._load(batch.fresh)
            made = self._stepped(batch)
            await self._around.store.commit(self.name, self._epoch, made.commit)
        return made

    async def _note_attempt(self, batch: Batch) -> None:
        first = batch.ahead[0]
        attempt = self.suspicion.attempt(Position(first.topic.name, self.partition), first.offset)
        if attempt is not None:
            await self._around.store.note(self.name, self._epoch, attempt)

    def _stepped(self, batch: Batch) -> _Committed:
        stepped = self._step(batch)
        self._around.failpoint("stepped")
        states = self._cache.encoded(self._task.changed)
        return _Committed(stepped.meta, *stepped.commit(self._epoch, self.sequence + 1, states, self.offsets))

    @property
    def _epoch(self) -> int:
        if self._claim is None:
            raise Fenced(f"{self.name} was never claimed")
        return self._claim.epoch

    def _batch(self, taken: Sequence[Inbound]) -> Batch:
        """Leave out what was taken before, as happens after trouble or a rebalance, and what its source said twice."""
        covered = {
            topic.name: self.offsets.get(Position(topic.name, self.partition), -1) for topic in self.processor.inputs
        }
        ahead = [item for item in taken if item.offset > covered[item.topic.name]]
        heard = dict(self._meta.last)
        fresh = list(unheard(ahead, heard))
        self.counts["repeats"] += len(ahead) - len(fresh)
        return Batch(ahead, fresh, heard)

    async def _load(self, fresh: Sequence[Inbound]) -> None:
        """Read the states that the batch needs and the cache lacks, those of dues to come included."""
        keys = dict.fromkeys([item.key for item in fresh if not item.bad])
        reach = max([self._task.watermark, *map(_reach, fresh)])
        await self._cache.load([*keys, *(key for key in self._task.due_keys(reach) if key not in keys)])

    def _step(self, batch: Batch) -> Stepped:
        task = self._task
        task.changed.clear()
        said: list[AnyRecord] = []
        for item in batch.fresh:
            if item.bad:
                if is_told(item, self._first_of, self._around.pipeline.tables):
                    said.append(item.record)
                    self.counts["dead_letters"] += 1
                if item.quarantined:
                    self._alert(item)
            else:
                said += task.take(item.record, item.key, item.time)
        self.counts["records"] += len(batch.fresh)
        self.counts["said"] += len(said)
        tables = self._around.table_positions() if self.processor.tables else {}
        return Stepped(task, batch, said, Meta.of(task, batch.heard), tables)

    def _alert(self, item: Inbound) -> None:
        self.counts["quarantined"] += 1
        log.critical("workers died of a record, set aside", lane=self.name, topic=item.topic.name, offset=item.offset)


def _reach(item: Inbound) -> int:
    """Return the latest the watermark can be after a record."""
    return item.time if item.record.watermark is None else max(item.time, item.record.watermark)
