"""One worker of the fraud pipeline, as a process whose clock may be wrong: `python -m streams.chaos.hand [SECONDS]`.

It dies of the payments that `recordings.deadly` makes, and at more steps than a worker knows of by itself:
HEADRACE_FAILPOINT may also name `half-delivered`, when half of what a commit said is in the log, and `unacknowledged`,
when all is done but Kafka has not been told.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faust.types import TP

    from schemas.records import AnyRecord
    from streams.deliveries import Deliveries
    from streams.outbox import Outbound
    from streams.task import Task
    from streams.transport import BatchConsumer

HALF_DELIVERED = "half-delivered"
UNACKNOWLEDGED = "unacknowledged"

Take = Callable[["Task", "AnyRecord", str, int], "list[AnyRecord]"]
Produce = Callable[["Deliveries", str, int, "Sequence[Outbound]"], Coroutine[Any, Any, None]]
Acknowledge = Callable[["BatchConsumer", "Mapping[TP, int]", bool], Coroutine[Any, Any, bool]]


def run(skew_seconds: float) -> None:
    """Run a worker by a clock that is so many seconds ahead. Ends the process."""
    if skew_seconds:
        right = time.time
        time.time = lambda: right() + skew_seconds
    # Only now: most modules take hold of the clock as they are imported.
    from streams.assembly import fraud_pipeline
    from streams.collector import spare_keyed_state
    from streams.live import run_worker
    from streams.settings import Settings
    from streams.task import Task

    settings = Settings()
    spare_keyed_state()
    _set_failpoints(os.environ.get("HEADRACE_FAILPOINT", ""))
    Task.take = mortal(Task.take)  # type: ignore[method-assign,assignment]
    run_worker(fraud_pipeline(settings), settings)


def _set_failpoints(named: str) -> None:
    from streams.deliveries import Deliveries
    from streams.transport import BatchConsumer
    from streams.watchdog import failpoint

    reached = failpoint(named)
    if named.startswith(HALF_DELIVERED):
        Deliveries.produce = half_delivered(Deliveries.produce, reached)  # type: ignore[method-assign,assignment]
    if named.startswith(UNACKNOWLEDGED):
        BatchConsumer._commit_offsets = unacknowledged(  # type: ignore[method-assign,assignment]
            BatchConsumer._commit_offsets, reached
        )


def half_delivered(produce: Produce, reached: Callable[[str], None]) -> Produce:
    """Return what produces as `produce` does, and reaches its failpoint once the broker has one half."""

    async def halves(self: "Deliveries", task: str, sequence: int, said: "Sequence[Outbound]") -> None:
        if len(said) > 1:
            await produce(self, task, sequence, said[: len(said) // 2])
            reached(HALF_DELIVERED)
        await produce(self, task, sequence, said)

    return halves


def unacknowledged(acknowledge: Acknowledge, reached: Callable[[str], None]) -> Acknowledge:
    """Return what tells Kafka as `acknowledge` does, and reaches its failpoint before."""

    async def told(self: "BatchConsumer", offsets: "Mapping[TP, int]", start_new_transaction: bool = True) -> bool:
        reached(UNACKNOWLEDGED)
        return await acknowledge(self, offsets, start_new_transaction)

    return told


def mortal(take: Take) -> Take:
    """Return what steps records as `take` does, and kills this process before it steps a deadly one."""
    from streams.chaos.recordings import DEADLY

    def taken(self: "Task", record: "AnyRecord", key: str, time: int) -> "list[AnyRecord]":
        if record.id.startswith(DEADLY):
            os.kill(os.getpid(), signal.SIGKILL)
        return take(self, record, key, time)

    return taken


if __name__ == "__main__":
    run(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)
