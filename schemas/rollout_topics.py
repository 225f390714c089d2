"""The topics of trials: how a challenger does, and what is to become of it."""

from operator import attrgetter

from schemas import rollout_results as results
from schemas.records import DAY, Topic

ROLLOUTS: Topic[results.Rollout] = Topic(
    "rollouts", results.Rollout, key=attrgetter("model"), time=attrgetter("event_time"), compacted=True
)
ROLLOUT_ORDERS: Topic[results.RolloutOrder] = Topic(
    "rollout-orders",
    results.RolloutOrder,
    key=attrgetter("model"),
    time=attrgetter("event_time"),
    retention_ms=400 * DAY,
)
