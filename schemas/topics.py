"""Every topic of headrace: its name, message, key and how long it is kept."""

from operator import attrgetter

from schemas import events, offer_results, results
from schemas.keys import by
from schemas.offer_topics import OFFER_EVENTS, OFFER_EXAMPLES, OFFER_USAGE, RANKERS, RANKINGS, REWARD_STRAYS
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS, ITEMS_CHOSEN, RECOMMENDATIONS
from schemas.records import DAY, AnyTopic, Topic
from schemas.rollout_topics import ROLLOUT_ORDERS, ROLLOUTS

TRANSACTIONS: Topic[events.Transaction] = Topic(
    "transactions",
    events.Transaction,
    key=by("user"),
    time=events.Event.time_ms,
    retention_ms=30 * DAY,
)
CLICKS: Topic[events.Click] = Topic(
    "clicks",
    events.Click,
    key=by("user"),
    time=events.Event.time_ms,
    retention_ms=30 * DAY,
)
OFFERS: Topic[events.Offer] = Topic(
    "offers",
    events.Offer,
    key=by("offer"),
    time=events.Event.time_ms,
    compacted=True,
)
FEEDBACK: Topic[events.Feedback] = Topic(
    "feedback",
    events.Feedback,
    key=by("about"),
    time=events.Event.time_ms,
    retention_ms=90 * DAY,
)
PROFILES: Topic[events.Profile] = Topic(
    "profiles",
    events.Profile,
    key=by("user"),
    time=events.Event.time_ms,
    compacted=True,
)
OFFER_REQUESTS: Topic[events.OfferRequest] = Topic(
    "offer-requests",
    events.OfferRequest,
    key=by("user"),
    time=events.Event.time_ms,
    retention_ms=7 * DAY,
)

CARD_FEATURES: Topic[results.CardFeatures] = Topic(
    "transactions.enriched",
    results.CardFeatures,
    key=by("terminal"),
    time=attrgetter("event_time"),
    internal=True,
)
SCORES: Topic[results.FraudScore] = Topic(
    "scores",
    results.FraudScore,
    key=by("event_id"),
    time=attrgetter("event_time"),
    retention_ms=30 * DAY,
)
ALERTS: Topic[results.Alert] = Topic(
    "alerts",
    results.Alert,
    key=by("event_id"),
    time=attrgetter("event_time"),
    retention_ms=90 * DAY,
)
CUSTOMER_RISKS: Topic[offer_results.CustomerRisk] = Topic(
    "risk.by-customer",
    offer_results.CustomerRisk,
    key=by("user"),
    time=attrgetter("event_time"),
    internal=True,
)
CUSTOMER_LABELS: Topic[results.Label] = Topic(
    "labels.by-customer",
    results.Label,
    key=by("user"),
    time=attrgetter("known_at"),
    internal=True,
)
TERMINAL_LABELS: Topic[results.Label] = Topic(
    "labels.by-terminal",
    results.Label,
    key=by("terminal"),
    time=attrgetter("known_at"),
    internal=True,
)
EXAMPLES: Topic[results.Example] = Topic(
    "examples", results.Example, key=attrgetter("model"), time=attrgetter("matured_at"), retention_ms=30 * DAY
)
MODELS: Topic[results.ModelVersion] = Topic(
    "models",
    results.ModelVersion,
    key=attrgetter("model"),
    time=attrgetter("learned_through"),
    compacted=True,
    retention_ms=0,
)
MODEL_ORDERS: Topic[results.ModelOrder] = Topic(
    "model-orders",
    results.ModelOrder,
    key=attrgetter("model"),
    time=attrgetter("event_time"),
    retention_ms=400 * DAY,
)
MODEL_ALIASES: Topic[results.ModelAlias] = Topic(
    "model-aliases",
    results.ModelAlias,
    key=attrgetter("alias"),
    time=attrgetter("event_time"),
    compacted=True,
)
DEAD_LETTERS: Topic[results.DeadLetter] = Topic(
    "dead-letters",
    results.DeadLetter,
    key=attrgetter("event_id"),
    time=attrgetter("event_time"),
    retention_ms=90 * DAY,
)
JOURNAL: Topic[results.JournalEntry] = Topic(
    "journal",
    results.JournalEntry,
    key=lambda m: f"{m.processor}/{m.partition}",
    time=attrgetter("event_time"),
    retention_ms=90 * DAY,
    internal=True,
)

ALL: tuple[AnyTopic, ...] = (
    TRANSACTIONS,
    CLICKS,
    OFFERS,
    FEEDBACK,
    PROFILES,
    OFFER_REQUESTS,
    ITEMS,
    CARD_FEATURES,
    SCORES,
    ALERTS,
    CUSTOMER_RISKS,
    CUSTOMER_LABELS,
    TERMINAL_LABELS,
    EXAMPLES,
    MODELS,
    MODEL_ORDERS,
    MODEL_ALIASES,
    RANKINGS,
    OFFER_EVENTS,
    OFFER_USAGE,
    OFFER_EXAMPLES,
    REWARD_STRAYS,
    RANKERS,
    ROLLOUTS,
    ROLLOUT_ORDERS,
    RECOMMENDATIONS,
    ITEMS_CHOSEN,
    ITEM_DEMANDS,
    DEAD_LETTERS,
    JOURNAL,
)
BY_NAME: dict[str, AnyTopic] = {topic.name: topic for topic in ALL}
