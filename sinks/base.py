"""What a sink promises, what a reader of results offers, and what both say while their store is away."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from schemas.records import AnyTopic


class SinkBusy(Exception):
    """A store that cannot answer now; ask again after `retry_after` seconds."""

    def __init__(self, retry_after: float, why: str = "the store is away") -> None:
        super().__init__(f"{why}; try again in {retry_after:g} s")
        self.retry_after = retry_after


class Encoded(msgspec.Struct, frozen=True):
    """One message as it stood on its topic: the topic's name and the JSON bytes."""

    topic: str
    value: bytes


class Sink(Protocol):
    """A place where records rest.

    A write is all or nothing and idempotent: writing records again, in any order and any batches, changes nothing.
    """

    @property
    def inputs(self) -> tuple[AnyTopic, ...]:
        """The topics it takes."""
        ...

    async def write(self, records: Sequence[Encoded]) -> None:
        """Keep the records. Raises SinkBusy while the store is away, and ValueError for a topic not in `inputs`."""
        ...


class Progress(msgspec.Struct, frozen=True):
    """How far a processor has come: the newest event time it committed and when it did, in milliseconds."""

    event_time: int
    committed_at: int


class ResultReader(Protocol):
    """Reads results by the reader's key. Answers are JSON bytes as they were written, or None for an unknown key.

    Every method raises SinkBusy while the store is away.
    """

    async def score(self, event_id: str, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of an event."""
        ...

    async def wait_for_score(self, event_id: str, timeout_ms: int, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of an event as soon as it is there; None when it is not within `timeout_ms`."""
        ...

    async def user_risk(self, user: str, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of a user's newest event."""
        ...

    async def user_features(self, user: str, tenant: str = "default") -> bytes | None:
        """Return the CardFeatures of a user's newest event."""
        ...

    async def card(self, card: str, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of a card's newest event; `card` is the card's token."""
        ...

    async def terminal(self, terminal: str, tenant: str = "default") -> bytes | None:
        """Return the FraudScore of a terminal's newest event; its vector holds the terminal's features."""
        ...

    async def models(self, tenant: str = "default") -> Mapping[str, bytes]:
        """Return the newest ModelVersion of each model, without its blob."""
        ...

    async def offers(self, user: str, tenant: str = "default") -> bytes | None:
        """Return a customer's newest Ranking."""
        ...

    async def wait_for_offers(self, user: str, timeout_ms: int, tenant: str = "default") -> bytes | None:
        """Return a customer's newest Ranking as soon as there is one; None when there is none within `timeout_ms`."""
        ...

    async def ranking(self, decision: str, tenant: str = "default") -> bytes | None:
        """Return the Ranking of a decision."""
        ...

    async def wait_for_ranking(self, decision: str, timeout_ms: int, tenant: str = "default") -> bytes | None:
        """Return the Ranking of a decision as soon as it is there; None when it is not within `timeout_ms`."""
        ...

    async def offer_usage(self, offer: str, tenant: str = "default") -> bytes | None:
        """Return the OfferUsage of an offer."""
        ...

    async def rankers(self, tenant: str = "default") -> Mapping[str, bytes]:
        """Return the newest RankerVersion of each model, without its blob."""
        ...

    async def recommendations(self, user: str, tenant: str = "default") -> bytes | None:
        """Return a customer's newest Recommendations, which may have expired."""
        ...

    async def wait_for_recommendations(self, user: str, timeout_ms: int, tenant: str = "default") -> bytes | None:
        """Return a customer's newest Recommendations as soon as there are any; None when not within `timeout_ms`."""
        ...

    async def item_demand(self, item: str, tenant: str = "default") -> bytes | None:
        """Return the ItemDemand of an item."""
        ...

    async def progress(self) -> Mapping[str, Progress]:
        """Return how far each processor has come: the newest event time and commit over its partitions."""
        ...

    async def aclose(self) -> None:
        """Close the connection to the store."""
        ...


def refuse_foreign(sink: Sink, records: Sequence[Encoded]) -> None:
    """Raise ValueError when a record's topic is not among the sink's inputs."""
    known = {topic.name for topic in sink.inputs}
    foreign = sorted({record.topic for record in records} - known)
    if foreign:
        raise ValueError(f"{type(sink).__name__} takes {sorted(known)}, not {foreign}: route those to another sink")
