"""Training sets: decisions with the vectors they were made on and what was known of them at a moment, nothing later."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from processors.offer_history import DECISION_LIFE
from schemas.records import DAY
from sinks.analytics import Client, busy_when_away, query

Of = Literal["fraud", "offers"]
Watch = Callable[[int, int], object]
"""Hears how many rows were written, and how many there will be."""

VECTOR = "vector"

_AT = pa.timestamp("ms", "UTC")
_COLUMNS: Mapping[Of, Mapping[str, pa.DataType]] = {
    "fraud": {
        "tenant": pa.string(),
        "decision": pa.string(),
        "decided_at": _AT,
        "model": pa.string(),
        "version": pa.uint32(),
        "score": pa.float64(),
        "label": pa.bool_(),
        "source": pa.string(),
        "weight": pa.float64(),
        "matured_at": _AT,
    },
    "offers": {
        "tenant": pa.string(),
        "decision": pa.string(),
        "offer": pa.string(),
        "decided_at": _AT,
        "position": pa.uint8(),
        "policy": pa.string(),
        "propensity": pa.float64(),
        "model": pa.string(),
        "version": pa.uint32(),
        "score": pa.float64(),
        "label": pa.bool_(),
        "earned": pa.float64(),
        "weight": pa.float64(),
        "matured_at": _AT,
    },
}

_KNOWN = """
    model = {model:String} AND matured_at <= fromUnixTimestamp64Milli({as_of:Int64}, 'UTC')
    AND event_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
"""
_OF_THE_MONTH = """
    features = {features:String} AND event_time >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
    AND event_time < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
"""
_HISTORY: Mapping[Of, str] = {"fraud": "v_label_history", "offers": "v_reward_history"}

# Joins and sorts that outgrow these bytes go on on the disk of ClickHouse.
_SETTINGS = (
    "SETTINGS join_algorithm = 'grace_hash', max_bytes_in_join = 500000000, max_bytes_before_external_sort = 500000000"
)

_ROWS: Mapping[Of, str] = {
    "fraud": f"""
        WITH known AS
        (
            SELECT
                tenant, event_id,
                argMax((version, score, label, source, weight, matured_at), (matured_at, label)) AS newest
            FROM v_label_history
            WHERE {_KNOWN} AND {_OF_THE_MONTH}
            GROUP BY tenant, event_id
        )
        SELECT
            s.tenant AS tenant, s.event_id AS decision, s.event_time AS decided_at, {{model:String}} AS model,
            newest.1 AS version, newest.2 AS score, newest.3 AS label, newest.4 AS source, newest.5 AS weight,
            newest.6 AS matured_at, s.vector AS vector
        FROM (SELECT tenant, event_id, event_time, vector FROM v_scores WHERE {_OF_THE_MONTH}) AS s
        INNER JOIN known AS k ON k.tenant = s.tenant AND k.event_id = s.event_id
        ORDER BY decided_at, tenant, decision
        {_SETTINGS}
    """,
    # What is shown is decided up to DECISION_LIFE before, so that the rewards of a month are those of its decisions.
    "offers": f"""
        WITH known AS
        (
            SELECT
                tenant, decision, offer, policy,
                argMax((position, propensity, version, score, label, reward, weight, matured_at), matured_at) AS newest
            FROM v_reward_history
            WHERE {_KNOWN} AND features = {{features:String}}
                AND event_time >= fromUnixTimestamp64Milli({{start:Int64}}, 'UTC')
                AND event_time <= fromUnixTimestamp64Milli({{end:Int64}} + {DECISION_LIFE}, 'UTC')
            GROUP BY tenant, decision, offer, policy
        )
        SELECT
            r.tenant AS tenant, r.event_id AS decision, r.offer AS offer, r.event_time AS decided_at,
            newest.1 AS position, r.policy AS policy, newest.2 AS propensity, {{model:String}} AS model,
            newest.3 AS version, newest.4 AS score, newest.5 AS label, newest.6 AS earned, newest.7 AS weight,
            newest.8 AS matured_at, r.vector AS vector
        FROM
        (
            SELECT tenant, event_id, event_time, policy, slot.offer AS offer, slot.vector AS vector
            FROM v_rankings
            ARRAY JOIN slots AS slot
            WHERE {_OF_THE_MONTH}
        ) AS r
        INNER JOIN known AS k
            ON k.tenant = r.tenant AND k.decision = r.event_id AND k.offer = r.offer AND k.policy = r.policy
        ORDER BY decided_at, tenant, decision, position, offer
        {_SETTINGS}
    """,
}


class NoTrainingSet(ValueError):
    """There is nothing to train on, or no name for it; the message says why."""


@dataclass(frozen=True)
class Asked:
    """Decisions of one model at or after `since`, with the outcomes known `as_of`: milliseconds since 1970 UTC.

    `features` is the feature set that their vectors are of, `names` its features in order.
    """

    of: Of
    model: str
    features: str
    names: tuple[str, ...]
    as_of: int
    since: int = 0


class TrainingSet(msgspec.Struct, frozen=True):
    """What was written; `left_out` decisions have vectors of other feature sets."""

    out: str
    rows: int
    positives: int
    model: str
    features: str
    as_of: str
    left_out: int


def write_training_set(client: Client, asked: Asked, out: Path, watch: Watch = lambda *_: None) -> TrainingSet:
    """Write one row a decision to a Parquet file, oldest first, holding one batch of them at a time.

    A row has the newest outcome that was known `as_of` and the vector stored when the decision was made, null where a
    feature was missing. The file appears when it is complete. Raises NoTrainingSet; OSError where it cannot be written;
    SinkBusy and DatabaseError of ClickHouse.
    """
    schema = _schema(asked)
    months, left_out = _months(client, asked)
    rows = positives = 0
    unfinished = out.with_name(f".{out.name}.unfinished")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with pa.parquet.ParquetWriter(unfinished, schema, compression="zstd") as file:
            for batch in _batches(client, asked, list(months)):
                file.write_batch(_named(batch, schema, len(asked.names)))
                rows += batch.num_rows
                positives += batch.column("label").true_count
                watch(rows, sum(months.values()))
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return TrainingSet(str(out), rows, positives, asked.model, asked.features, _text(asked.as_of), left_out)


def _schema(asked: Asked) -> pa.Schema:
    columns = _COLUMNS[asked.of]
    if taken := sorted(columns.keys() & set(asked.names)):
        raise NoTrainingSet(f"{', '.join(taken)}: a feature has the name of a column that every training set has")
    metadata = {"model": asked.model, "features": asked.features, "as_of": _text(asked.as_of)}
    return pa.schema([*columns.items(), *((name, pa.float64()) for name in asked.names)], metadata)


def _months(client: Client, asked: Asked) -> tuple[dict[int, int], int]:
    """Return how many outcomes were known of each month's decisions, and how many of other feature sets there are."""
    counted = f"""
        SELECT
            features,
            toUnixTimestamp(toDateTime(toStartOfMonth(event_time), 'UTC')) * 1000 AS month,
            uniqExact(tenant, event_id)
        FROM {_HISTORY[asked.of]} WHERE {_KNOWN} GROUP BY ALL ORDER BY ALL
    """
    found = query(client, counted, _parameters(asked)).rows
    months = {month: count for features, month, count in found if features == asked.features}
    others = {features for features, _, _ in found} - {asked.features}
    if not months:
        known = f"no outcome of the model {asked.model!r} was known at {_text(asked.as_of)}"
        if others:
            known += (
                f" with vectors of the feature set {asked.features}, which these settings declare; there are some of"
            )
            known += f" {', '.join(sorted(others))}"
        raise NoTrainingSet(known)
    return months, sum(count for features, _, count in found if features != asked.features)


def _batches(client: Client, asked: Asked, months: Sequence[int]) -> Iterator[pa.RecordBatch]:
    start = max(asked.since, months[0] if asked.of == "fraud" else _month(months[0] - DECISION_LIFE))
    while start < _month_after(months[-1]):
        end = _month_after(start)
        parameters = _parameters(asked) | {"features": asked.features, "start": start, "end": end}
        with busy_when_away(), client.query_arrow_stream(_ROWS[asked.of], parameters) as batches:
            yield from batches
        start = end


def _parameters(asked: Asked) -> dict[str, Any]:
    return {"model": asked.model, "as_of": asked.as_of, "since": asked.since}


def _named(batch: pa.RecordBatch, schema: pa.Schema, width: int) -> pa.RecordBatch:
    """Return the batch with a column for each number of its vectors."""
    numbers = batch.column(VECTOR).flatten()
    if len(numbers) != width * batch.num_rows:
        raise NoTrainingSet(f"the vectors have other numbers than the {width} features that were named")
    places = np.arange(0, len(numbers), width)
    columns = [numbers.take(pa.array(places + place)) for place in range(width)]
    kept = batch.drop_columns([VECTOR])
    return pa.RecordBatch.from_arrays([*kept.columns, *columns], schema.names).cast(schema)


def _month(at: int) -> int:
    """Return when the month of a moment began, both in milliseconds since 1970 UTC."""
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return round(datetime(moment.year, moment.month, 1, tzinfo=UTC).timestamp() * 1000)


def _month_after(at: int) -> int:
    return _month(_month(at) + 32 * DAY)


def _text(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
