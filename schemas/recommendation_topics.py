"""The topics of recommendations: the catalogue, the demand for each item, and what is recommended to whom."""

from operator import attrgetter

from schemas import recommendation_results as results
from schemas.events import Event
from schemas.keys import by
from schemas.records import Topic

ITEMS: Topic[results.CatalogueItem] = Topic(
    "items",
    results.CatalogueItem,
    key=by("item"),
    time=Event.time_ms,
    compacted=True,
)
ITEMS_CHOSEN: Topic[results.ItemChosen] = Topic(
    "items.chosen",
    results.ItemChosen,
    key=by("item"),
    time=attrgetter("event_time"),
    internal=True,
)
ITEM_DEMANDS: Topic[results.ItemDemand] = Topic(
    "items.demand",
    results.ItemDemand,
    key=by("item"),
    time=attrgetter("event_time"),
    compacted=True,
)
RECOMMENDATIONS: Topic[results.Recommendations] = Topic(
    "recommendations",
    results.Recommendations,
    key=by("user"),
    time=attrgetter("event_time"),
    compacted=True,
    retention_ms=0,
)
