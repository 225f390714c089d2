"""The topics of recommendations: the catalogue, the demand for each item, and what is recommended to whom."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from schemas import recommendation_results as results
from schemas.events import Event
from schemas.records import Topic


def _by(field: str) -> Callable[[Any], str]:
    """Return a key function: the field, behind its tenant unless that is the default one."""
    return lambda message: keyed(message.tenant, getattr(message, field))


def keyed(tenant: str, name: str) -> str:
    """Return the key of something of a tenant."""
    return name if tenant == "default" else f"{tenant}/{name}"


ITEMS: Topic[results.CatalogueItem] = Topic(
    "items",
    results.CatalogueItem,
    key=_by("item"),
    time=Event.time_ms,
    compacted=True,
)
ITEMS_CHOSEN: Topic[results.ItemChosen] = Topic(
    "items.chosen",
    results.ItemChosen,
    key=_by("item"),
    time=attrgetter("event_time"),
    internal=True,
)
ITEM_DEMANDS: Topic[results.ItemDemand] = Topic(
    "items.demand",
    results.ItemDemand,
    key=_by("item"),
    time=attrgetter("event_time"),
    compacted=True,
)
RECOMMENDATIONS: Topic[results.Recommendations] = Topic(
    "recommendations",
    results.Recommendations,
    key=_by("user"),
    time=attrgetter("event_time"),
    compacted=True,
)
