"""A claimed task: what its checkpoint has, read as batches need it, and what stepping a batch makes of that."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import structlog

from processors.base import AnyProcessor
from schemas.records import AnyRecord
from sinks.store import Claim, Commit, Position
from streams.batch import Batch, Meta, Stepped, setup_of
from streams.inbound import Inbound, is_told
from streams.outbox import Outbound
from streams.repeats import unheard
from streams.state_cache import StateCache
from streams.surroundings import Surroundings
from streams.task import Task

log = structlog.get_logger()


class OtherSetup(RuntimeError):
    """The states of a task were made by a processor that is set up otherwise, which this one cannot go on from."""


class Outcome(NamedTuple):
    """What a batch comes to: what the task remembers from then on, what it says, and the commit that comes first."""

    meta: Meta
    outgoing: list[Outbound]
    commit: Commit


class Stepper:
    """Steps the batches of one task, from what one claim has found. Whoever claims the task again takes a new one.

    `counts` grows by what a batch was made of. Raises OtherSetup.
    """

    def __init__(
        self, processor: AnyProcessor, partition: int, claim: Claim, around: Surroundings, counts: Counter[str]
    ) -> None:
        self.name = f"{processor.name}/{partition}"
        self.meta = msgspec.msgpack.decode(claim.meta, type=Meta) if claim.meta else Meta()
        if self.meta.setup not in ("", setup_of(processor)):
            raise OtherSetup(
                f"the states of {self.name} are of other definitions than there are now: set HEADRACE_FEATURES to "
                "what it was, or make them anew by `headrace rebuild`"
            )
        self.epoch = claim.epoch
        self._around = around
        self._counts = counts
        self._first_of = around.pipeline.first_of(processor)
        self._inputs = [Position(topic.name, partition) for topic in processor.inputs]
        self._cache = StateCache(processor, self.name, around.store, around.cache)
        self._task = Task(processor, self._cache.states, around.tables, partition)
        self._task.resume(self.meta.watermark, self.meta.sources, claim.dues)

    @property
    def reached(self) -> int:
        """The newest event time stepped since the claim, in milliseconds."""
        return self._task.reached

    def batch(self, taken: Sequence[Inbound], offsets: Mapping[Position, int]) -> Batch:
        """Leave out what was taken before, as happens after trouble or a rebalance, and what its source said twice."""
        covered = {at.topic: offsets.get(at, -1) for at in self._inputs}
        ahead = [item for item in taken if item.offset > covered[item.topic.name]]
        heard = dict(self.meta.last)
        fresh = list(unheard(ahead, heard))
        self._counts["repeats"] += len(ahead) - len(fresh)
        return Batch(ahead, fresh, heard)

    async def load(self, fresh: Sequence[Inbound]) -> None:
        """Read the states that a batch needs and the cache lacks, those of dues to come included. Raises SinkBusy."""
        keys = dict.fromkeys([item.key for item in fresh if not item.bad])
        reach = max([self._task.watermark, *map(_reach, fresh)])
        await self._cache.load([*keys, *(key for key in self._task.due_keys(reach) if key not in keys)])

    def step(self, batch: Batch, sequence: int, offsets: Mapping[Position, int]) -> Outcome:
        """Step a batch whose states are loaded, as commit number `sequence` after one that ended at `offsets`."""
        stepped = self._stepped(batch)
        self._around.failpoint("stepped")
        states = self._cache.encoded(self._task.changed)
        return Outcome(stepped.meta, *stepped.commit(self.epoch, sequence, states, offsets))

    def committed(self, outcome: Outcome) -> None:
        """Go on from what is in the store now, and let go of states beyond those that may be kept at hand."""
        self.meta = outcome.meta
        self._cache.evict()

    def _stepped(self, batch: Batch) -> Stepped:
        task = self._task
        task.changed.clear()
        said: list[AnyRecord] = []
        for item in batch.fresh:
            if not item.bad:
                said += task.take(item.record, item.key, item.time)
                continue
            if is_told(item, self._first_of, self._around.pipeline.tables):
                said.append(item.record)
                self._counts["dead_letters"] += 1
            if item.quarantined:
                self._alert(item)
        self._counts["records"] += len(batch.fresh)
        self._counts["said"] += len(said)
        tables = self._around.table_positions() if task.processor.tables else {}
        return Stepped(task, batch, said, Meta.of(task, batch.heard), tables)

    def _alert(self, item: Inbound) -> None:
        self._counts["quarantined"] += 1
        log.critical("workers died of a record, set aside", lane=self.name, topic=item.topic.name, offset=item.offset)


def _reach(item: Inbound) -> int:
    """Return the latest the watermark can be after a record."""
    return item.time if item.record.watermark is None else max(item.time, item.record.watermark)
