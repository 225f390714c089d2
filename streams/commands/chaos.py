"""`headrace chaos run`: real processes are broken on purpose, and every promise is held against what they did."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams.chaos.campaign import Campaign, Tell
from streams.chaos.scenarios import SCENARIOS, Scenario
from streams.chaos.verdict import Result
from streams.commands.screen import told_plainly
from streams.services.errors import ServiceFailed
from streams.settings import Settings

commands = typer.Typer(help="Break real processes on purpose, and see that every promise holds.", no_args_is_help=True)


class UnknownScenario(ValueError):
    """A name that no scenario has."""


@commands.command("run")
def run_command(
    scenarios: Annotated[list[str] | None, typer.Argument(help="Which of them; all when none is named.")] = None,
    seeds: Annotated[int, typer.Option(help="Drills of each scenario.", min=1)] = 1,
    events: Annotated[int, typer.Option(help="Records published in each drill.", min=200)] = 2_000,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the results there are and go on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Run each scenario under each seed on a broker, Redis and workers of its own. Leaves with 1 when one fails."""
    # What it has started is ended by SIGTERM too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with told_plainly(UnknownScenario, ServiceFailed):
        campaign = Campaign(chosen(scenarios or []), seeds, events, Settings().folder / "chaos", resume)
        with _silent() if as_json else _shown() as tell:
            results = campaign.run(tell)
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(results)))
    else:
        _print(results, campaign.folder)
    raise typer.Exit(0 if all(result.ok for result in results) else 1)


@commands.command("table")
def table_command() -> None:
    """Print the results that are kept, of all runs so far, as a Markdown table."""
    campaign = Campaign(tuple(SCENARIOS.values()), 1, 1, Settings().folder / "chaos")
    typer.echo("| scenario | seeds | lost | doubled | state mismatches | fenced | recovery p50 | max | |")
    typer.echo("|---|---|---|---|---|---|---|---|---|")
    for result in campaign.kept():
        typer.echo(f"| `{result.scenario}` | {' | '.join(_cells(result))} | {'ok' if result.ok else '**broken**'} |")


@commands.command("list")
def list_command() -> None:
    """Tell the scenarios and what each does."""
    table = Table("scenario", "what happens", box=None)
    for scenario in SCENARIOS.values():
        table.add_row(scenario.name, scenario.about)
    Console().print(table)


def chosen(names: Sequence[str]) -> list[Scenario]:
    """Return the scenarios of these names, all for none. Raises UnknownScenario, which tells the known ones."""
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise UnknownScenario(f"there is no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    return [SCENARIOS[name] for name in dict.fromkeys(names or SCENARIOS)]


@contextmanager
def _silent() -> Iterator[Tell]:
    yield lambda drill, done, missing: None


@contextmanager
def _shown() -> Iterator[Tell]:
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True, console=Console(stderr=True)) as bar:
        task = bar.add_task("Kafka and Redis", total=None)
        yield lambda drill, done, missing: bar.update(task, description=drill, completed=done, total=missing)


def _print(results: Sequence[Result], folder: Path) -> None:
    console = Console()
    table = Table("scenario", title="what the faults did")
    for column in ("seeds", "lost", "doubled", "mismatch", "fenced", "recovery p50", "max", ""):
        table.add_column(column, justify="right")
    for result in results:
        table.add_row(result.scenario, *_cells(result), "[green]ok[/]" if result.ok else "[red]broken[/]")
    console.print(table)
    for result in results:
        for why in result.broken:
            console.print(f"{result.scenario}, {why}", style="red", markup=False, soft_wrap=True)
    if not all(result.ok for result in results):
        console.print(f"what the workers of failed drills logged: {folder / 'logs'}", markup=False, soft_wrap=True)


def _cells(result: Result) -> list[str]:
    counts = (result.seeds, result.lost, result.doubled, result.state_mismatch, result.fenced)
    recovery = (result.recovery_s_p50, result.recovery_s_max)
    return [*map(str, counts), *("–" if each is None else f"{each:.1f} s" for each in recovery)]
