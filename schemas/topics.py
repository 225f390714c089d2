"""Every topic of headrace: its name, message, key and how long it is kept."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from schemas import events, results
from schemas.records import DAY, AnyTopic, Topic


def _by(field: str) -> Callable[[Any], str]:
    """Return a key function: the field, behind its tenant unless that is the default one."""
    read = attrgetter("tenant", field)

    def key(message: Any) -> str:
        tenant, value = read(message)
        return str(value) if tenant == "default" else f"{tenant}/{value}"

    return key


TRANSACTIONS: Topic[events.Transaction] = Topic(
    "transactions",
    events.Transaction,
    key=_by("user"),
    time=events.Event.time_ms,
    retention_ms=30 * DAY,
)
CLICKS: Topic[events.Click] = Topic(
    "clicks",
    events.Click,
    key=_by("user"),
    time=events.Event.time_ms,
    retention_ms=30 * DAY,
)
OFFERS: Topic[events.Offer] = Topic(
    "offers",
    events.Offer,
    key=_by("offer"),
    time=events.Event.time_ms,
    compacted=True,
)
FEEDBACK: Topic[events.Feedback] = Topic(
    "feedback",
    events.Feedback,
    key=_by("about"),
    time=events.Event.time_ms,
    retention_ms=90 * DAY,
)
PROFILES: Topic[events.Profile] = Topic(
    "profiles",
    events.Profile,
    key=_by("user"),
    time=events.Event.time_ms,
    compacted=True,
)

CARD_FEATURES: Topic[results.CardFeatures] = Topic(
    "transactions.enriched",
    results.CardFeatures,
    key=_by("terminal"),
    time=attrgetter("event_time"),
    internal=True,
)
SCORES: Topic[results.FraudScore] = Topic(
    "scores",
    results.FraudScore,
    key=_by("event_id"),
    time=attrgetter("event_time"),
    retention_ms=30 * DAY,
)
ALERTS: Topic[results.Alert] = Topic(
    "alerts",
    results.Alert,
    key=_by("event_id"),
    time=attrgetter("event_time"),
    retention_ms=90 * DAY,
)
CUSTOMER_LABELS: Topic[results.Label] = Topic(
    "labels.by-customer",
    results.Label,
    key=_by("user"),
    time=attrgetter("known_at"),
    internal=True,
)
TERMINAL_LABELS: Topic[results.Label] = Topic(
    "labels.by-terminal",
    results.Label,
    key=_by("terminal"),
    time=attrgetter("known_at"),
    internal=True,
)
EXAMPLES: Topic[results.Example] = Topic(
    "examples", results.Example, key=attrgetter("model"), time=attrgetter("matured_at"), retention_ms=30 * DAY
)
MODELS: Topic[results.ModelVersion] = Topic(
    "models", results.ModelVersion, key=attrgetter("model"), time=attrgetter("learned_through"), compacted=True
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
