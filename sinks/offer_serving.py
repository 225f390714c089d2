"""What is served about offers: where it is kept, and how it is read. The layout of all keys is in `serving.py`."""

from collections.abc import Mapping

from sinks.stored import Stored, prefix


class OfferReader:
    """Reads rankings, rankers and the usage of offers by the reader's key; see ResultReader."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    async def offers(self, user: str, tenant: str = "default") -> bytes | None:
        """Return a customer's newest Ranking."""
        return await self._stored.newest(offers_key(tenant, user))

    async def wait_for_offers(self, user: str, timeout_ms: int, tenant: str = "default") -> bytes | None:
        """Return a customer's newest Ranking as soon as there is one; None when there is none within `timeout_ms`."""
        return await self._stored.newest_awaited(offers_key(tenant, user), timeout_ms)

    async def ranking(self, decision: str, tenant: str = "default") -> bytes | None:
        """Return the Ranking of a decision."""
        return await self._stored.value(ranking_key(tenant, decision))

    async def wait_for_ranking(self, decision: str, timeout_ms: int, tenant: str = "default") -> bytes | None:
        """Return the Ranking of a decision as soon as it is there; None when it is not within `timeout_ms`."""
        return await self._stored.awaited(ranking_key(tenant, decision), timeout_ms)

    async def offer_usage(self, offer: str, tenant: str = "default") -> bytes | None:
        """Return the OfferUsage of an offer."""
        return await self._stored.newest(usage_key(tenant, offer))

    async def rankers(self, tenant: str = "default") -> Mapping[str, bytes]:
        """Return the newest RankerVersion of each model, without its blob."""
        return await self._stored.members(rankers_key(tenant))

    async def ranker_version(self, model: str, version: int, tenant: str = "default") -> bytes | None:
        """Return a RankerVersion with its signed blob."""
        return await self._stored.value(f"{rankers_key(tenant)}:{model}:{version}")


def offers_key(tenant: str, user: str) -> str:
    """Return where a customer's newest Ranking is kept."""
    return f"{prefix(tenant)}:user:{user}:offers"


def ranking_key(tenant: str, decision: str) -> str:
    """Return where the Ranking of a decision is kept."""
    return f"{prefix(tenant)}:ranking:{decision}"


def usage_key(tenant: str, offer: str) -> str:
    """Return where the OfferUsage of an offer is kept."""
    return f"{prefix(tenant)}:offer:{offer}:usage"


def rankers_key(tenant: str) -> str:
    """Return where the newest ranker versions are kept."""
    return f"{prefix(tenant)}:rankers"
