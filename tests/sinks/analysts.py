"""What tests of the analysts' views share: keeping messages, asking, and the questions of docs/analytics.md."""

import asyncio
import re
from pathlib import Path
from typing import Any

from sinks.analytics import AnalyticsSink, query
from tests.contracts.results import encoded

DAY = 86_400_000
GUIDE = Path(__file__).parents[2] / "docs" / "analytics.md"
QUERIES = dict(re.findall(r"^## (.+?)\n[^#]*?```sql\n(.+?)```", GUIDE.read_text(), re.MULTILINE | re.DOTALL))


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
