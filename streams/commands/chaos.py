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

from streams.chaos.campaign import SHORT, THOROUGH, Campaign, Tell
from streams.chaos.scenarios import SCENARIOS, Scenario
from streams.chaos.verdict import Result
from streams.commands.screen import told_plainly
from streams.services.errors import ServiceFailed
from streams.settings import Settings

commands = typer.Typer(help="Break real processes on purpose, and see that every promise holds.", no_args_is_help=True)


EVENTS = 2_000
SHORT_EVENTS = 400


class UnknownScenario(ValueError):
    """A name that no scenario has, or no name at all."""


@commands.command("run")
def run_command(
    scenarios: Annotated[list[str] | None, typer.Argument(help="Which of them; all when none is named.")] = None,
    seeds: Annotated[int, typer.Option(help="Drills of each scenario.", min=1)] = 1,
    events: Annotated[
        int | None, typer.Option(help="Records published in each drill; 2,000, or 400 of short ones.", min=200)
    ] = None,
    without: Annotated[list[str] | None, typer.Option(help="A scenario to leave out; may be repeated.")] = None,
    short: Annotated[
        bool, typer.Option("--short", help="Drills that are over soon: short streams, workers that start at once.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the results there are and go on.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """Run each scenario under each seed on a broker, Redis and workers of its own. Leaves with 1 when one fails."""
    # What it has started is ended by SIGTERM too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with told_plainly(UnknownScenario, ServiceFailed):
        number, pace = events or (SHORT_EVENTS if short else EVENTS), SHORT if short else THOROUGH
        campaign = Campaign(chosen(scenarios or [], without or []), seeds, number, _folder(short), resume, pace)
        with _silent() if as_json else _shown() as tell:
            results = campaign.run(tell)
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(results)))
    else:
        _print(results, campaign.folder)
    raise typer.Exit(0 if all(result.ok for result in results) else 1)


@commands.command("table")
def table_command() -> None:
    """Print the results that are kept, of all runs so far but short ones, as a Markdown table."""
    campaign = Campaign(tuple(SCENARIOS.values()), 1, 1, _folder(short=False))
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


def chosen(names: Sequence[str], without: Sequence[str] = ()) -> list[Scenario]:
    """Return the scenarios of these names, all for none, but for some.

    Raises UnknownScenario, which tells the known ones, and where none is left.
    """
    if unknown := [name for name in (*names, *without) if name not in SCENARIOS]:
        raise UnknownScenario(f"there is no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    left = [SCENARIOS[name] for name in dict.fromkeys(names or SCENARIOS) if name not in without]
    if not left:
        raise UnknownScenario(f"no scenario is left without {', '.join(without)}")
    return left


def _folder(short: bool) -> Path:
    return Settings().folder / ("chaos-short" if short else "chaos")


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
