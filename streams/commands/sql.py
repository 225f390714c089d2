"""`headrace sql`: a question to ClickHouse, wherever it runs."""

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import orjson
import typer
from clickhouse_connect.driver.exceptions import DatabaseError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sinks.analytics import Answer, client_for, query
from sinks.base import SinkBusy
from streams.running import reachable
from streams.settings import Settings

NULL = "[dim]NULL[/]"


def sql_command(
    statement: Annotated[str, typer.Argument(metavar="SQL", help="SELECT …, SHOW TABLES, DESCRIBE …")],
    clickhouse: Annotated[str | None, typer.Option(help="http://host:port of another ClickHouse.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array of objects.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
) -> None:
    """Ask ClickHouse: HEADRACE_CLICKHOUSE where it is set, else the running demo's, else that of `services up`.

    The views to ask are v_events, v_features, v_scores, v_alerts, v_labels, v_model_versions, v_dead_letters,
    model_quality and model_quality_by_day.
    """
    address = clickhouse or reachable(Settings()).clickhouse
    with _told_plainly(address):
        answer = query(client_for(address), statement)
    if as_json:
        rows = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        typer.echo(orjson.dumps(rows, default=str, option=orjson.OPT_NON_STR_KEYS))
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
    else:
        Console().print(_table(answer))


def _table(answer: Answer) -> Table:
    count = len(answer.rows)
    table = Table(caption=f"{count:,} {'row' if count == 1 else 'rows'}", caption_justify="left")
    for name in answer.columns:
        table.add_column(escape(name), overflow="fold")
    for row in answer.rows:
        table.add_row(*(NULL if value is None else escape(str(value)) for value in row))
    return table


@contextmanager
def _told_plainly(address: str) -> Iterator[None]:
    console = Console(stderr=True)
    try:
        yield
    except SinkBusy as busy:
        console.print(str(busy), style="red", markup=False, soft_wrap=True)
        console.print(f"Is ClickHouse at {address}? `headrace demo` and `headrace services up` start one.")
        raise typer.Exit(1) from busy
    except (DatabaseError, ValueError) as refused:
        console.print(str(refused), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from refused
