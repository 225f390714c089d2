"""Every topic of headrace: its name, message, key and how long it is kept."""

from schemas import events, results
from schemas.records import DAY, AnyTopic, Topic


def _tenanted(tenant: str, key: str) -> str:
    return key if tenant == "default" else f"{tenant}/{key}"


TRANSACTIONS: Topic[events.Transaction] = Topic(
    "transactions",
    events.Transaction,
    key=lambda m: _tenanted(m.tenant, m.user),
    time=events.Event.time_ms,
    retention_ms=30 * DAY,
)
CLICKS: Topic[events.Click] = Topic(
    "clicks",
    events.Click,
    key=lambda m: _tenanted(m.tenant, m.user),
    time=events.Event.time_ms,
    retention_ms=30 * DAY,
)
OFFERS: Topic[events.Offer] = Topic(
    "offers",
    events.Offer,
    key=lambda m: _tenanted(m.tenant, m.offer),
    time=events.Event.time_ms,
    compacted=True,
)
FEEDBACK: Topic[events.Feedback] = Topic(
    "feedback",
    events.Feedback,
    key=lambda m: _tenanted(m.tenant, m.about),
    time=events.Event.time_ms,
    retention_ms=90 * DAY,
)
PROFILES: Topic[events.Profile] = Topic(
    "profiles",
    events.Profile,
    key=lambda m: _tenanted(m.tenant, m.user),
    time=events.Event.time_ms,
    compacted=True,
)

CARD_FEATURES: Topic[results.CardFeatures] = Topic(
    "transactions.enriched",
    results.CardFeatures,
    key=lambda m: _tenanted(m.tenant, m.terminal),
    time=lambda m: m.event_time,
    internal=True,
)
SCORES: Topic[results.FraudScore] = Topic(
    "scores",
    results.FraudScore,
    key=lambda m: _tenanted(m.tenant, m.event_id),
    time=lambda m: m.event_time,
    retention_ms=30 * DAY,
)
ALERTS: Topic[results.Alert] = Topic(
    "alerts",
    results.Alert,
    key=lambda m: _tenanted(m.tenant, m.event_id),
    time=lambda m: m.event_time,
    retention_ms=90 * DAY,
)
CUSTOMER_LABELS: Topic[results.Label] = Topic(
    "labels.by-customer",
    results.Label,
    key=lambda m: _tenanted(m.tenant, m.user),
    time=lambda m: m.known_at,
    internal=True,
)
TERMINAL_LABELS: Topic[results.Label] = Topic(
    "labels.by-terminal",
    results.Label,
    key=lambda m: _tenanted(m.tenant, m.terminal),
    time=lambda m: m.known_at,
    internal=True,
)
EXAMPLES: Topic[results.Example] = Topic(
    "examples", results.Example, key=lambda m: m.model, time=lambda m: m.matured_at, retention_ms=30 * DAY
)
MODELS: Topic[results.ModelVersion] = Topic(
    "models", results.ModelVersion, key=lambda m: m.model, time=lambda m: m.learned_through, compacted=True
)
DEAD_LETTERS: Topic[results.DeadLetter] = Topic(
    "dead-letters",
    results.DeadLetter,
    key=lambda m: m.event_id,
    time=lambda m: m.event_time,
    retention_ms=90 * DAY,
)
JOURNAL: Topic[results.JournalEntry] = Topic(
    "journal",
    results.JournalEntry,
    key=lambda m: f"{m.processor}/{m.partition}",
    time=lambda m: m.event_time,
    retention_ms=90 * DAY,
    internal=True,
)

ALL: tuple[AnyTopic, ...] = (
    TRANSACTIONS,
    CLICKS,
    OFFERS,
    FEEDBACK,
    PROFILES,
    CARD_FEATURES,
    SCORES,
    ALERTS,
    CUSTOMER_LABELS,
    TERMINAL_LABELS,
    EXAMPLES,
    MODELS,
    DEAD_LETTERS,
    JOURNAL,
)
BY_NAME: dict[str, AnyTopic] = {topic.name: topic for topic in ALL}
