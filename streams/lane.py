"""A lane: one task of a live worker. It merges, steps, commits, produces and only then goes on."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import time

import msgspec

from processors.base import AnyProcessor
from sinks.base import SinkBusy
from sinks.store import Commit, Fenced, Position
from streams.batch import Batch
from streams.inbound import Inbound
from streams.merge import Merge
from streams.outbox import unpack
from streams.stepper import Outcome, Stepper
from streams.surroundings import Surroundings
from streams.suspicion import Suspicion
from streams.task import NEVER

IDLE_SECONDS = 0.002
FENCED_SECONDS = 3.0
"""How long a lane that another worker owns by now waits to be stopped, before it takes its task back."""

HELD_SECONDS = 1.0
COUNTED = ("records", "said", "dead_letters", "quarantined", "repeats", "fenced", "busy")
"""What a lane counts; `streams/metrics.py` tells what each is."""


class Forgotten(RuntimeError):
    """The store has lost commits that it had acknowledged. To go on would be to begin anew from what is left."""


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
        self.counts = Counter(dict.fromkeys(COUNTED, 0))
        self.inputs = Merge([t.name for t in processor.inputs], lambda name: surroundings.at_end(name, partition))
        self._around = surroundings
        self._ring = surroundings.pipeline.ring(processor)
        self._stepper: Stepper | None = None
        self.suspicion = Suspicion(surroundings.batch)
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
        self._stepper = Stepper(self.processor, self.partition, claim, self._around, self.counts)
        self.sequence, self.offsets = claim.sequence, dict(claim.offsets)
        self.suspicion.claimed(claim.attempt)
        await self._around.deliveries.produce(self.name, claim.sequence, unpack(claim.outbox))
        self._delivered = bool(claim.outbox)
        return self.offsets

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
        nothing_new = Commit(self.sequence + 1, {}, {}, self.offsets, msgspec.msgpack.encode(self._claimed.meta), b"")
        with suppress(SinkBusy, Fenced):
            await self._around.store.commit(self.name, self._claimed.epoch, nothing_new)
        self._delivered = False

    @property
    def reached(self) -> int:
        """The newest event time stepped since the task was claimed, in milliseconds."""
        return NEVER if self._stepper is None else self._stepper.reached

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
        batch = self._claimed.batch(taken, self.offsets)
        if not batch.ahead:
            return
        self._delivered = False
        outcome = await (self._committed_alone(batch) if self.suspicion.alone else self._committed(batch))
        self._claimed.committed(outcome)
        self.sequence = outcome.commit.sequence
        self.suspicion.passed(len(taken))
        self._around.failpoint("committed")
        await self._around.deliveries.produce(self.name, self.sequence, outcome.outgoing)
        self._around.failpoint("produced")
        self._delivered = True
        self.offsets.update(outcome.commit.offsets)
        self.last_progress = time()

    async def _committed(self, batch: Batch) -> Outcome:
        await self._note_attempt(batch)
        await self._claimed.load(batch.fresh)
        async with self._around.stepping:
            outcome = self._claimed.step(batch, self.sequence + 1, self.offsets)
        await self._around.store.commit(self.name, self._claimed.epoch, outcome.commit)
        return outcome

    async def _committed_alone(self, batch: Batch) -> Outcome:
        """Do so while nobody else steps anything: what the process dies of is then what was noted."""
        async with self._around.stepping:
            await self._note_attempt(batch)
            await self._claimed.load(batch.fresh)
            outcome = self._claimed.step(batch, self.sequence + 1, self.offsets)
            await self._around.store.commit(self.name, self._claimed.epoch, outcome.commit)
        return outcome

    async def _note_attempt(self, batch: Batch) -> None:
        first = batch.ahead[0]
        attempt = self.suspicion.attempt(Position(first.topic.name, self.partition), first.offset)
        if attempt is not None:
            await self._around.store.note(self.name, self._claimed.epoch, attempt)

    @property
    def _claimed(self) -> Stepper:
        if self._stepper is None:
            raise Fenced(f"{self.name} was never claimed")
        return self._stepper
