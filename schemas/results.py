"""What headrace says: features, scores, alerts, labels, models and dead letters.

These are msgspec structs, not pydantic models: four of them are made for every transaction, and one costs 0.2 µs
against 3.3 µs. None can be part of a cycle, so the garbage collector need not look at them. All times are milliseconds
since 1970 UTC.
"""

from typing import Literal

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What every result has: the id of the event it is about, that event's time, and its tenant."""

    event_id: str
    event_time: int
    tenant: str = "default"


class CardFeatures(Result, frozen=True, kw_only=True):
    """A transaction on its way to its terminal, with what is known about its customer.

    `customer` holds the customer's features in their declared order; `facts` are the numbers that reasons quote;
    `input_*` say where the transaction was read.
    """

    user: str
    terminal: str
    amount: float
    currency: str
    customer: tuple[float | None, ...]
    card: str | None = None
    country: str | None = None
    customer_age: int = -1
    input_topic: str = "transactions"
    input_partition: int = 0
    input_offset: int = -1


class Reason(msgspec.Struct, frozen=True, gc=False):
    """One reason for a score: the feature, what it added in log-odds, and the same in words with the numbers."""

    feature: str
    contribution: float
    text: str


Decision = Literal["approve", "challenge", "review", "decline"]


class FraudScore(Result, frozen=True, kw_only=True):
    """How likely a transaction is fraud, why, and exactly what that was computed from.

    `score` is the model's probability, `probability` the calibrated one, both in [0, 1]; `risk` is 0–100. `vector` is
    the model's input in the order of `features`, the name of a published feature set. The reasons, `other` and
    `intercept` add up to the log-odds of `score`. `shadow` holds the scores of models that decide nothing, made by
    `shadow_versions` (0: none yet, and the score says nothing). `ages` are milliseconds since each source of features
    last changed.
    """

    user: str
    terminal: str
    amount: float
    currency: str
    score: float
    probability: float
    risk: int
    decision: Decision
    source: Literal["model", "rules"]
    model: str
    version: int
    features: str
    vector: tuple[float | None, ...]
    reasons: tuple[Reason, ...] = ()
    other: float = 0.0
    intercept: float = 0.0
    anomaly: float = 0.0
    shadow: dict[str, float] = {}
    ages: dict[str, int] = {}
    weight: float = 1.0
    card: str | None = None
    country: str | None = None
    digest: str = ""
    input_topic: str = "transactions"
    input_partition: int = 0
    input_offset: int = -1
    shadow_versions: dict[str, int] = {}


class Alert(Result, frozen=True, kw_only=True):
    """A score that a person should look at."""

    user: str
    terminal: str
    amount: float
    currency: str
    risk: int
    decision: Decision
    reasons: tuple[Reason, ...]
    model: str
    version: int
    status: Literal["open", "assigned", "resolved"] = "open"


class Label(Result, frozen=True, kw_only=True):
    """What an earlier transaction turned out to be, sent to those who keep its history: its customer and its terminal.

    `event_time` is the transaction's; `known_at` is when this became known.
    """

    user: str
    terminal: str
    fraud: bool
    known_at: int


class Example(Result, frozen=True, kw_only=True):
    """A matured outcome with the vector stored at scoring time: what a model learns from and is measured on.

    `label` is True for fraud; `late` says it corrects an outcome that had matured as genuine. `matured_at` is an event
    time. `version` is 0 where no version of the model had scored yet. `features` names the set that `vector` is of.
    """

    model: str
    label: bool
    matured_at: int
    score: float
    probability: float
    version: int
    features: str
    vector: tuple[float | None, ...]
    source: str = "window"
    confidence: float = 1.0
    weight: float = 1.0
    late: bool = False
    amount: float = 0.0
    currency: str = ""
    user: str = ""
    terminal: str = ""


class ModelVersion(Result, frozen=True, kw_only=True):
    """A published version of a model: the signed blob, and what it had learned by then.

    `event_id` is "model@version"; `blob` is base64 of the signed snapshot; `metrics` are progressive, over matured
    examples, per label age where the name says so. A version that was not learned but ordered tells the id of the
    ModelOrder and why it was given. `last` is the mark of the outcome learned last, "" where that is not known.
    """

    model: str
    version: int
    kind: str
    digest: str
    blob: str
    features: str
    examples: int
    frauds: int
    learned_through: int
    metrics: dict[str, float] = {}
    order: str = ""
    why: str = ""
    last: str = ""


class ModelOrder(Result, frozen=True, kw_only=True):
    """An order to the learner of a model: forget what you are, go on from this release, and publish it at once.

    `blob` is base64 of a signed snapshot, which had learned `examples` with so many `frauds` (of a ranker: rewarded
    ones), the latest of them matured at `learned_through`; `last` is the mark of the one learned last. `event_time`
    places the order among the examples. `why` and `by` are for the audit.
    """

    model: str
    kind: str
    features: str
    blob: str
    examples: int
    frauds: int
    learned_through: int
    why: str
    by: str = ""
    last: str = ""


class ModelAlias(Result, frozen=True, kw_only=True):
    """Which model an alias names from now on: the "champion" decides, the "challenger" in its place for some customers.

    `share` in [0, 1] is how many of the customers those are. `why` and `by` are for the audit.
    """

    alias: Literal["champion", "challenger"]
    model: str
    share: float = 1.0
    why: str = ""
    by: str = ""


class DeadLetter(Result, frozen=True, kw_only=True):
    """A record that could not be used: why, where it was, and its bytes, encrypted.

    `event_id` is "topic/partition/offset"; `event_time` is the record's Kafka timestamp; `value`, `key` and the
    `headers` values are base64 of the encrypted bytes.
    """

    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    value: str
    key: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    code_version: str = ""


class JournalEntry(Result, frozen=True, kw_only=True):
    """One committed batch of a processor: what it read, in the order it took it.

    `runs` are (topic, partition, first offset, last offset); `tables` the positions of the tables it saw; `quarantined`
    the (topic, offset) of records in the runs that were not stepped, since they had killed the worker.
    """

    processor: str
    partition: int
    epoch: int
    sequence: int
    runs: tuple[tuple[str, int, int, int], ...]
    tables: dict[str, dict[int, int]] = {}
    quarantined: tuple[tuple[str, int], ...] = ()
