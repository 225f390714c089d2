"""A sink that fails on purpose, as stores do: before it wrote, after it wrote, half-way, or for being away."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from schemas.records import AnyTopic
from sinks.base import Encoded, Sink, SinkBusy


class Fault(StrEnum):
    """What goes wrong with one write."""

    NONE = "none"
    BUSY = "busy"
    """The store is away: SinkBusy, nothing is written."""
    BEFORE = "before"
    """The connection breaks before anything is written."""
    HALF = "half"
    """The store dies half-way: only the first half is written."""
    AFTER = "after"
    """All is written, but the answer is lost."""


class Broken(ConnectionError):
    """The failure that a FaultySink was told to have."""


class FaultySink:
    """Passes writes on to `sink`, each with the next of `faults`; without faults once those are used up.

    HALF breaks the promise of all or nothing on purpose: it shows that a repeated write repairs it.
    """

    def __init__(self, sink: Sink, faults: Iterable[Fault], retry_after: float = 0.01) -> None:
        self._sink = sink
        self._faults = iter(faults)
        self._retry_after = retry_after

    @property
    def inputs(self) -> tuple[AnyTopic, ...]:
        """The topics of the sink behind."""
        return self._sink.inputs

    async def write(self, records: Sequence[Encoded]) -> None:
        """Write with the next fault. Raises SinkBusy or Broken when it says so."""
        fault = next(self._faults, Fault.NONE)
        if fault is Fault.BUSY:
            raise SinkBusy(self._retry_after)
        if fault is Fault.BEFORE:
            raise Broken("the connection broke before the write")
        await self._sink.write(records[: len(records) // 2] if fault is Fault.HALF else records)
        if fault is not Fault.NONE:
            raise Broken(f"the connection broke: {fault}")
