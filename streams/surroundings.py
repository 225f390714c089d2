"""What the lanes of a worker have around them: its store, its producer, its tables, and how far others have come."""

from asyncio import Lock
from collections.abc import Callable
from dataclasses import dataclass, field

from processors.base import Tables
from schemas.records import DAY
from sinks.store import Store
from streams.deliveries import Deliveries
from streams.pipeline import Pipeline


@dataclass(frozen=True)
class Surroundings:
    """What all lanes of a worker share.

    `reached` tells the newest event time a processor has come to, anywhere; `skew` is how many milliseconds of event
    time a lane may be ahead of those that answer it. `linger` is for how many seconds a lane gathers records, unless it
    has a whole batch of them. `failpoint` is called by name after each step of the protocol.
    Who steps has `stepping`; a lane that suspects a record has it from the note of that to the commit.
    """

    store: Store
    deliveries: Deliveries
    tables: Tables
    table_positions: Callable[[], dict[str, dict[int, int]]]
    at_end: Callable[[str, int], bool]
    reached: Callable[[str], int | None]
    pipeline: Pipeline
    batch: int = 2_000
    skew: int = 3 * DAY
    cache: int = 200_000
    linger: float = 0.0
    failpoint: Callable[[str], None] = lambda _: None
    stepping: Lock = field(default_factory=Lock)
