"""What commands show a person while they work, and when they refuse."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table


@contextmanager
def told_plainly(*refusals: type[Exception]) -> Iterator[None]:
    """Tell any of these errors in red on standard error, without a traceback, and leave with status 1."""
    try:
        yield
    except refusals as refused:
        Console(stderr=True).print(str(refused), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from refused


@contextmanager
def spinning(what: str) -> Iterator[Callable[[str], None]]:
    """Show that work goes on, beginning with `what`; yield what replaces the text. Gone when the work is done."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task(what)
        yield lambda text: bar.update(task, description=text)


def measured(result: Mapping[str, Any], title: str) -> Table:
    """Return a table of figures beside their names; shares and means have four decimals."""
    table = Table("measure", "value", title=title)
    for name, value in result.items():
        table.add_row(name, _figure(value))
    return table


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
