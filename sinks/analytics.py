"""Results and events in ClickHouse: JSON passes through as it stands on the topics. The schema: `SCHEMAS`."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from schemas import topics
from schemas.offer_topics import OFFER_EXAMPLES, OFFER_USAGE, RANKERS, RANKINGS, REWARD_STRAYS
from schemas.recommendation_topics import ITEM_DEMANDS, ITEMS, RECOMMENDATIONS
from schemas.records import AnyTopic
from schemas.rollout_topics import ROLLOUTS
from sinks.base import Encoded, SinkBusy, refuse_foreign

Client = Any  # clickhouse_connect is not typed

SCHEMAS = tuple(
    Path(__file__).with_name(f"{name}.sql")
    for name in (
        "analytics",
        "offer_analytics",
        "rollout_analytics",
        "recommendation_analytics",
        "drift",
        "label_age",
        "offer_reports",
    )
)
RETRY_AFTER = 2.0
EVENTS = "events"

TABLES: Mapping[str, str] = {
    topics.TRANSACTIONS.name: EVENTS,
    topics.CLICKS.name: EVENTS,
    topics.OFFERS.name: EVENTS,
    topics.FEEDBACK.name: EVENTS,
    topics.PROFILES.name: EVENTS,
    topics.OFFER_REQUESTS.name: EVENTS,
    ITEMS.name: EVENTS,
    topics.CARD_FEATURES.name: "features",
    topics.SCORES.name: "scores",
    topics.ALERTS.name: "alerts",
    topics.EXAMPLES.name: "labels",
    topics.MODELS.name: "model_versions",
    topics.MODEL_ALIASES.name: "model_aliases",
    topics.DEAD_LETTERS.name: "dead_letters",
    RANKINGS.name: "rankings",
    OFFER_EXAMPLES.name: "rewards",
    REWARD_STRAYS.name: "reward_strays",
    RANKERS.name: "ranker_versions",
    ROLLOUTS.name: "rollouts",
    OFFER_USAGE.name: "offer_usage",
    RECOMMENDATIONS.name: "recommendations",
    ITEM_DEMANDS.name: "item_demand",
}
"""The table of each topic."""

INPUTS: tuple[AnyTopic, ...] = tuple(topics.BY_NAME[name] for name in TABLES)

_SETTINGS = {
    "input_format_skip_unknown_fields": 1,  # a newer message has fields that this table does not
    "input_format_parallel_parsing": 0,  # with one block an insert is taken or refused as a whole
    "min_insert_block_size_rows": 10_000_000,
    "max_insert_block_size": 10_000_000,
    "max_partitions_per_insert_block": 0,  # replayed history spans any number of months
}

_VIEW = re.compile(r"^CREATE OR REPLACE VIEW (\w+)", re.MULTILINE)

_BUSY = frozenset({159, 202, 203, 209, 210, 236, 241, 242, 243, 252, 279, 319, 394, 439, 473, 999})
"""ClickHouse's codes of what passes: time-outs, too many queries or parts, no memory, space or keeper, read-only."""


class Answer(NamedTuple):
    """What a query gave: the names of its columns, and its rows."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


class AnalyticsSink:
    """Writes topics to their tables, one insert a table; a repeated write changes nothing that the views show.

    An insert is taken or refused as a whole. When a batch spans several tables and a later one is refused, the error
    says so and the batch is to be written again. Personal data rest as they are given: give events as the decoder
    tokenised them. Bytes of events that are no JSON object are kept, outside the views.
    """

    def __init__(self, client: Client, inputs: Sequence[AnyTopic] = INPUTS) -> None:
        foreign = sorted(topic.name for topic in inputs if topic.name not in TABLES)
        if foreign:
            raise ValueError(f"no table for {foreign}: add them to TABLES and to {SCHEMAS[0].name}")
        self.inputs = tuple(inputs)
        self._client = client
        self._columns: dict[str, list[str]] = {}

    async def write(self, records: Sequence[Encoded]) -> None:
        """Keep the records. Raises SinkBusy, DatabaseError for a result of another shape, ValueError for its topic."""
        refuse_foreign(self, records)
        values: dict[str, list[bytes]] = defaultdict(list)
        for record in records:
            values[record.topic].append(record.value)
        for topic, rows in values.items():
            await asyncio.to_thread(self._insert, topics.BY_NAME[topic], rows)

    def _insert(self, topic: AnyTopic, values: Sequence[bytes]) -> None:
        with busy_when_away():
            if TABLES[topic.name] == EVENTS:
                rows = row_binary(topic.name.encode(), values)
                self._client.raw_insert(EVENTS, ["topic", "raw"], rows, _SETTINGS, fmt="RowBinary")
            else:
                rows = b"\n".join(values)
                self._client.raw_insert(TABLES[topic.name], self._of(topic), rows, _SETTINGS, fmt="JSONEachRow")

    def _of(self, topic: AnyTopic) -> list[str]:
        """Return the message's fields that its table has; EPHEMERAL ones are read only when they are named."""
        if topic.name not in self._columns:
            asked = "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}"
            found = self._client.query(asked, {"table": TABLES[topic.name]}).result_rows
            known = {name for (name,) in found}
            if not known:
                raise ValueError(f"there is no table {TABLES[topic.name]!r}: call create_schema first")
            self._columns[topic.name] = [name for name in topic.model.__struct_fields__ if name in known]
        return self._columns[topic.name]


def client_for(url: str) -> Client:
    """Return a client of `http(s)://user:password@host:port/database`, or of the engine in `chdb:///folder`.

    Only one process at a time can open a folder. Raises SinkBusy when nobody answers at the address.
    """
    parts = urlsplit(url)
    if parts.scheme == "chdb":
        return clickhouse_connect.get_client(interface="chdb", path=unquote(parts.path))
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{url!r} is no address of ClickHouse: write http://host:port or chdb:///folder")
    with busy_when_away():
        return clickhouse_connect.get_client(
            interface=parts.scheme,
            host=parts.hostname,
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            username=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            database=unquote(parts.path.strip("/")) or "default",
            autogenerate_session_id=False,
        )


def create_schema(client: Client) -> None:
    """Create the tables that are not there yet, and the views as they are now.

    Views that are so already are left alone: a view that is replaced is gone for a moment, for whoever is asking it.
    """
    script = "\n".join(schema.read_text() for schema in SCHEMAS)
    mark = sha256(script.encode()).hexdigest()
    asked = "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = {mark:String}"
    kept = {name for (name,) in query(client, asked, {"mark": mark}).rows}
    with busy_when_away():
        for statement in statements(script):
            view = _VIEW.search(statement)
            if view is None:
                client.command(statement)
            elif view[1] not in kept:
                client.command(f"{statement}\nCOMMENT '{mark}'")


def query(client: Client, sql: str, parameters: Mapping[str, Any] | None = None) -> Answer:
    """Return what a query gives. Raises SinkBusy, and DatabaseError for a query that ClickHouse refuses."""
    with busy_when_away():
        answer = client.query(sql, parameters=parameters)
    return Answer(tuple(answer.column_names), answer.result_rows)


def statements(script: str) -> list[str]:
    """Return the statements of an SQL script, each ending its line with a semicolon.

    >>> statements("SELECT 1;\\n\\n-- two\\nSELECT ';';\\n")
    ['SELECT 1', "-- two\\nSELECT ';'"]
    """
    return [statement.strip() for statement in f"{script}\n".split(";\n") if statement.strip()]


def row_binary(topic: bytes, values: Sequence[bytes]) -> bytes:
    """Return rows of (topic, value) in ClickHouse's RowBinary: each string behind its length.

    >>> row_binary(b"ab", [b"xyz"])
    b'\\x02ab\\x03xyz'
    """
    name = _length(len(topic)) + topic
    return b"".join([part for value in values for part in (name, _length(len(value)), value)])


@lru_cache(65_536)
def _length(n: int) -> bytes:
    """Return `n` as a LEB128 varint."""
    written = bytearray()
    while n > 127:
        written.append(n & 127 | 128)
        n >>= 7
    written.append(n)
    return bytes(written)


@contextmanager
def busy_when_away() -> Iterator[None]:
    """Turn what ClickHouse or the network says while it cannot serve into SinkBusy."""
    try:
        yield
    except (OperationalError, OSError) as error:
        raise SinkBusy(RETRY_AFTER, f"ClickHouse: {error}") from error
    except DatabaseError as error:
        if error.code not in _BUSY:
            raise
        raise SinkBusy(RETRY_AFTER, f"ClickHouse: {error}") from error
