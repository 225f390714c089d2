"""The topics of offers: what is ranked, what becomes of it, and the models that rank."""

from operator import attrgetter

from schemas import offer_results as results
from schemas.records import DAY, Topic


def _by_user(message: results.Ranking) -> str:
    """Return the key that clicks of the same customer have: the user, behind a tenant that is not the default one."""
    return message.user if message.tenant == "default" else f"{message.tenant}/{message.user}"


RANKINGS: Topic[results.Ranking] = Topic(
    "rankings",
    results.Ranking,
    key=_by_user,
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
RANKERS: Topic[results.RankerVersion] = Topic(
    "rankers",
    results.RankerVersion,
    key=attrgetter("model"),
    time=attrgetter("learned_through"),
    compacted=True,
)
