"""Copies of what is in ClickHouse: each table's rows by month, in its own Native format, which newer servers read."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sinks.analytics import Client, busy_when_away, query

BLOCK_BYTES = 1024 * 1024
STORED = "default_kind NOT IN ('EPHEMERAL', 'ALIAS', 'MATERIALIZED')"


def tables(client: Client) -> list[str]:
    """Return the tables that hold rows of their own, those first of which others are filled. Raises SinkBusy.

    Brought back in this order, what a materialised view makes of a row anew yields to what it once made of it.
    """
    asked = (
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' "
        "ORDER BY empty(dependencies_table), name"
    )
    return [name for (name,) in query(client, asked).rows]


def columns(client: Client, table: str) -> list[str]:
    """Return the stored columns of a table, in order. Raises SinkBusy."""
    asked = (
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String} "
        f"AND {STORED} ORDER BY position"
    )
    return [name for (name,) in query(client, asked, {"table": table}).rows]


def months(client: Client, table: str) -> list[str]:
    """Return the partitions of a table that hold rows. Raises SinkBusy."""
    return sorted(name for (name,) in query(client, f"SELECT DISTINCT _partition_id FROM {table}").rows)


def count(client: Client, table: str, month: str | None = None) -> int:
    """Return how many rows a table or one of its partitions has, superseded ones included. Raises SinkBusy."""
    where = "" if month is None else " WHERE _partition_id = {month:String}"
    return int(query(client, f"SELECT count() FROM {table}{where}", {"month": month or ""}).rows[0][0])


def blocks(client: Client, table: str, names: Sequence[str], month: str) -> Iterator[bytes]:
    """Yield the rows of a partition as Native bytes, some at a time. Raises SinkBusy."""
    told = ", ".join(f"`{name}`" for name in names)
    asked = f"SELECT {told} FROM {table} WHERE _partition_id = {{month:String}}"
    with busy_when_away(), client.raw_stream(asked, {"month": month}, fmt="Native") as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block


def insert(client: Client, table: str, names: Sequence[str], content: Iterable[bytes]) -> None:
    """Insert Native bytes into a table. Rows that are there already show once. Raises SinkBusy."""
    with busy_when_away():
        client.raw_insert(table, list(names), content, {"max_partitions_per_insert_block": 0}, fmt="Native")


def truncate(client: Client, table: str) -> None:
    """Forget all rows of a table. Raises SinkBusy."""
    with busy_when_away():
        client.command(f"TRUNCATE TABLE {table}")


def version(client: Client) -> str:
    """Return the server's version. Raises SinkBusy."""
    answer: Any = query(client, "SELECT version()").rows[0][0]
    return str(answer)
