"""The topics of offers: what is ranked, what becomes of it and has cost, and the models that rank."""

from operator import attrgetter

from schemas import offer_results as results
from schemas.keys import by
from schemas.records import DAY, Topic

RANKINGS: Topic[results.Ranking] = Topic(
    "rankings",
    results.Ranking,
    key=by("user"),
    time=attrgetter("event_time"),
    retention_ms=30 * DAY,
)
OFFER_EXAMPLES: Topic[results.OfferExample] = Topic(
    "offer-examples",
    results.OfferExample,
    key=attrgetter("model"),
    time=attrgetter("matured_at"),
    retention_ms=30 * DAY,
)
REWARD_STRAYS: Topic[results.RewardStray] = Topic(
    "reward-strays",
    results.RewardStray,
    key=by("user"),
    time=attrgetter("event_time"),
    retention_ms=30 * DAY,
)
RANKERS: Topic[results.RankerVersion] = Topic(
    "rankers",
    results.RankerVersion,
    key=attrgetter("model"),
    time=attrgetter("learned_through"),
    compacted=True,
)
OFFER_EVENTS: Topic[results.OfferEvent] = Topic(
    "offers.by-offer",
    results.OfferEvent,
    key=by("offer"),
    time=attrgetter("event_time"),
    internal=True,
)
OFFER_USAGE: Topic[results.OfferUsage] = Topic(
    "offer-usage",
    results.OfferUsage,
    key=by("offer"),
    time=attrgetter("event_time"),
    compacted=True,
)
