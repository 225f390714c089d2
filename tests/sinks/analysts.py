"""What tests of the analysts' views share: keeping messages, asking, and the questions of docs/analytics.md."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sinks.analytics import AnalyticsSink, client_for, create_schema, query
from tests.contracts.results import encoded

DAY = 86_400_000
GUIDE = Path(__file__).parents[2] / "docs" / "analytics.md"
QUERIES = dict(re.findall(r"^## (.+?)\n[^#]*?```sql\n(.+?)```", GUIDE.read_text(), re.MULTILINE | re.DOTALL))


@contextmanager
def engine_in(folder: Path) -> Iterator[Any]:
    """Yield a client of the embedded engine, which has the tables and views of headrace."""
    client = client_for(f"chdb://{folder}")
    try:
        create_schema(client)
        yield client
    finally:
        client.close()


def keep(client: Any, *messages: Any) -> None:
    asyncio.run(AnalyticsSink(client).write([encoded(message) for message in messages]))


def rows(client: Any, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in query(client, sql).rows]


def emptied(engine: Any) -> Any:
    """Return the engine, whose tables are all empty now."""
    asked = "SELECT name FROM system.tables WHERE database = currentDatabase() AND total_rows > 0"
    for (table,) in rows(engine, asked):
        engine.command(f"TRUNCATE TABLE {table}")
    return engine
