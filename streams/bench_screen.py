"""What `headrace bench` shows: what is going on, why it cannot go on, and figures as a table."""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

Figures = Mapping[str, Any]


class Tell:
    """What a person is told meanwhile, on standard error: what is going on, and what is done already."""

    def __init__(self, title: str, status: Status) -> None:
        self._title, self._status = title, status

    def __call__(self, doing: str) -> None:
        """Tell what is going on."""
        self._status.update(f"{self._title}: {doing}")

    def done(self, name: str, figure: float) -> None:
        """Tell a figure that stays."""
        self._status.console.print(f"{name}: {figure:,.0f}")
        self(f"after {name}")


def measured(title: str, measure: Callable[[Tell], Figures]) -> Figures:
    """Return what is measured, told about on standard error meanwhile; ends the process plainly where it cannot be."""
    console = Console(stderr=True)
    # What a benchmark has started is ended by SIGTERM too.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with _told_plainly(console), console.status(title) as status:
            return measure(Tell(title, status))
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _told_plainly(console: Console) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        absent = (missing.name or "").partition(".")[0]
        why = "benchmarks/ is not part of the package: run this in a checkout of headrace, by `uv run headrace bench`"
        if absent != "benchmarks":
            why = f"{absent} is not installed: `uv sync --all-groups` installs the peers"
        _fail(console, why, missing)
    except RuntimeError as failure:
        _fail(console, str(failure), failure)


def _fail(console: Console, why: str, cause: Exception) -> None:
    console.print(why, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1) from cause


def table(title: str, figures: Figures) -> Table:
    """Return figures as a table: one row each, or one row a contestant where all have the same figures."""
    if all(isinstance(each, Mapping) for each in figures.values()):
        columns = list(dict.fromkeys(name for each in figures.values() for name in each))
        if any(len(each) < len(columns) / 2 for each in figures.values()):
            return table(
                title, {f"{name} {of}": figure for name, each in figures.items() for of, figure in each.items()}
            )
        shown = Table("", *columns, title=title)
        for name, each in figures.items():
            shown.add_row(name, *(_told(each.get(column, "")) for column in columns))
        return shown
    shown = Table("", "", title=title, show_header=False)
    for name, figure in figures.items():
        shown.add_row(name, _told(figure))
    return shown


def _told(figure: object) -> str:
    if isinstance(figure, float) and abs(figure) < 1_000:
        return f"{figure:.3f}"
    return f"{figure:,.0f}" if isinstance(figure, int | float) else str(figure)
