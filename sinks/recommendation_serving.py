"""What is served about recommendations: where it is kept, and how it is read. The key layout is in `serving.py`."""

from sinks.stored import Stored, prefix


class RecommendationReader:
    """Reads recommendations and the demand for items by the reader's key; see ResultReader."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    async def recommendations(self, user: str, tenant: str = "default") -> bytes | None:
        """Return a customer's newest Recommendations, which may have expired."""
        return await self._stored.newest(recommendations_key(tenant, user))

    async def wait_for_recommendations(self, user: str, timeout_ms: int, tenant: str = "default") -> bytes | None:
        """Return a customer's newest Recommendations as soon as there are any; None when not within `timeout_ms`."""
        return await self._stored.newest_awaited(recommendations_key(tenant, user), timeout_ms)

    async def item_demand(self, item: str, tenant: str = "default") -> bytes | None:
        """Return the ItemDemand of an item."""
        return await self._stored.newest(demand_key(tenant, item))


def recommendations_key(tenant: str, user: str) -> str:
    """Return where a customer's newest Recommendations are kept."""
    return f"{prefix(tenant)}:user:{user}:items"


def demand_key(tenant: str, item: str) -> str:
    """Return where the ItemDemand of an item is kept."""
    return f"{prefix(tenant)}:item:{item}:demand"
