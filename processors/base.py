"""The processor contract: a fold over one key's records that may speak on every step."""

from collections.abc import Iterable, Mapping, Sequence
from operator import is_not
from typing import Any, NamedTuple, Protocol, TypeVar

from schemas.records import AnyRecord, AnyTopic

S = TypeVar("S")
T = TypeVar("T")

Tables = Mapping[AnyTopic, Mapping[str, Any]]
"""Read-only views of compacted topics: the last message of each key. They change only between records."""


def is_as_it_was(table: Mapping[str, T], entries: Sequence[T]) -> bool:
    """Return whether a table still has these entries, in this order.

    An entry of a table is never changed, only replaced: the same objects say the same.
    """
    return len(table) == len(entries) and not any(map(is_not, table.values(), entries))


class Said(NamedTuple):
    """One message a processor says, and the topic it says it on."""

    topic: AnyTopic
    message: Any


class Processor(Protocol[S]):
    """A fold over one key's records, that may speak on every step.

    The engine promises: records of one key arrive one at a time, in the journalled order; the state returned is the
    state passed in next time; None in means first seen, None out means forget. A state with an attribute `due` (event
    time in milliseconds, or None) is stepped with a Due message once the watermark has passed it. A step may change
    the state it is given, and reads no clock, no environment and no randomness: the same records give the same answer.
    Where states depend on how a processor is set up, its attribute `setup` (text) names that: no other goes on with
    them.
    """

    @property
    def name(self) -> str:
        """The processor's name, part of every id it gives: it never changes."""
        ...

    @property
    def inputs(self) -> tuple[AnyTopic, ...]:
        """The topics it reads; of records of equal time, those of the topic listed last come first."""
        ...

    @property
    def outputs(self) -> tuple[AnyTopic, ...]:
        """The topics it speaks on."""
        ...

    @property
    def tables(self) -> tuple[AnyTopic, ...]:
        """The compacted topics it looks things up in."""
        ...

    @property
    def state(self) -> type[S]:
        """The type of a key's state: a msgspec struct, or a class with `snapshot` and `restored`."""
        ...

    def step(self, state: S | None, record: AnyRecord, tables: Tables) -> tuple[S | None, Iterable[Said]]:
        """Return the next state of the record's key, and what is said."""
        ...


AnyProcessor = Processor[Any]
