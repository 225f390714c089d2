"""`headrace services up | down | status`: the local Kafka, Redis and ClickHouse."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streams.commands.screen import told_plainly
from streams.services.errors import ServiceFailed
from streams.services.supervisor import Health, Part, down, status, up

commands = typer.Typer(
    help="Run a real Kafka broker, Redis and the ClickHouse engine as processes of this machine.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Option(help="Where their data, logs and addresses lie.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Parts = Annotated[list[Part] | None, typer.Argument(help="Which of them; all when none is named.")]

_FOLDER = Path(".headrace")


@commands.command("up")
def up_command(parts: Parts = None, folder: Folder = _FOLDER, as_json: AsJson = False) -> None:
    """Start what does not run yet, wait until all answers, and tell the addresses."""
    console = Console()
    with told_plainly(ServiceFailed), console.status("waiting for the services", spinner="dots"):
        endpoints = {name: address for name, address in asdict(up(folder, parts or list(Part))).items() if address}
    if as_json:
        return _print_json(endpoints)
    for name, address in endpoints.items():
        console.print(f"[green]✓[/] {name:<10} {escape(address)}", soft_wrap=True)
    exports = " ".join(f"HEADRACE_{name.upper()}={address}" for name, address in endpoints.items())
    console.print(f"\nexport {exports}", markup=False, highlight=False, soft_wrap=True)
    return None


@commands.command("down")
def down_command(parts: Parts = None, folder: Folder = _FOLDER, as_json: AsJson = False) -> None:
    """End what `up` started here; the data stay."""
    ended = down(folder, parts or list(Part))
    if as_json:
        return _print_json({"ended": ended})
    return Console().print(f"ended {', '.join(ended)}" if ended else "nothing ran")


@commands.command("status")
def status_command(folder: Folder = _FOLDER, as_json: AsJson = False) -> None:
    """Tell which of them run and answer."""
    health = status(folder)
    if as_json:
        return _print_json(health)
    table = Table("service", "state", "address", "pid", "log", box=None)
    for part, of_part in health.items():
        table.add_row(part, _state(of_part), of_part.address or "–", str(of_part.pid or "–"), of_part.log)
    return Console().print(table)


def _state(health: Health) -> str:
    if health.ready:
        return "[green]answers[/]"
    return "[yellow]runs, does not answer[/]" if health.running else "[dim]down[/]"


def _print_json(told: object) -> None:
    typer.echo(msgspec.json.encode(told))
