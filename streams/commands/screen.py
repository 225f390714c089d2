"""What commands show a person while they work, and when they refuse."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


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
