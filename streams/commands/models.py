"""`headrace models`: the published model versions."""

import asyncio
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from schemas.results import ModelVersion
from schemas.topics import MODELS
from sinks.base import SinkBusy
from sinks.connection import connect
from sinks.serving import Reader
from streams.demo_screen import moment
from streams.running import reachable
from streams.settings import Settings

commands = typer.Typer(help="The models that score.", no_args_is_help=True)


@commands.callback()
def _family() -> None:
    """The models that score."""


@commands.command("list")
def list_command(
    tenant: Annotated[str, typer.Option(help="Whose models.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Show the newest published version of each model, and how good its scores have been."""
    try:
        versions = asyncio.run(_newest(reachable(Settings()), tenant))
    except SinkBusy as busy:
        Console(stderr=True).print(str(busy), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from busy
    if as_json:
        typer.echo(msgspec.json.encode(versions))
        return
    table = Table("model", "kind", "learned through", "outcomes", "frauds", "AUC", "AP", "digest", box=None)
    for version in versions:
        measured = (_figure(version, name) for name in ("roc_auc", "average_precision"))
        name, learned = f"{version.model}@{version.version}", moment(version.learned_through)
        counts = (f"{version.examples:,}", f"{version.frauds:,}")
        table.add_row(name, version.kind, learned, *counts, *measured, version.digest[:8])
    Console().print(table if versions else "no model has been published yet")


async def _newest(settings: Settings, tenant: str) -> list[ModelVersion]:
    reader = Reader(connect(settings.redis))
    try:
        return [MODELS.decode(value) for value in (await reader.models(tenant)).values()]
    finally:
        await reader.aclose()


def _figure(version: ModelVersion, name: str) -> str:
    return f"{version.metrics[name]:.4f}" if name in version.metrics else "–"
