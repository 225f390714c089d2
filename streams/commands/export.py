"""`headrace export`: what rests in ClickHouse, as a file for other tools."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from clickhouse_connect.driver.exceptions import DatabaseError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from processors import offer_features
from sinks.analytics import client_for
from sinks.base import SinkBusy
from streams.assembly import fraud_scorer
from streams.commands.screen import told_plainly
from streams.definitions_file import DefinitionsError
from streams.running import reachable
from streams.settings import Settings
from streams.training_set import Asked, NoTrainingSet, Of, write_training_set

commands = typer.Typer(help="Write what rests in ClickHouse to files.", no_args_is_help=True)


@commands.callback()
def _family() -> None:
    """Keep `export` a family of commands while there is one."""


def moment(text: str) -> int:
    """Return an RFC 3339 time in milliseconds since 1970 UTC; typer.BadParameter without a zone or for another text."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = datetime.min
    if at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is no time of RFC 3339: write it as 2026-01-31T12:00:00Z")
    return round(at.timestamp() * 1000)


@commands.command("training-set")
def training_set_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="The Parquet file to write.")],
    as_of: Annotated[int, typer.Option(parser=moment, metavar="TIME", help="Outcomes known later are left out.")],
    since: Annotated[
        int | None, typer.Option("--from", parser=moment, metavar="TIME", help="Decisions made earlier are left out.")
    ] = None,
    of: Annotated[Of, typer.Option(help="Which decisions.")] = "fraud",
    model: Annotated[str | None, typer.Option(help="Another model than the champion, or ranker than `offers`.")] = None,
    clickhouse: Annotated[str | None, typer.Option(help="http://host:port of another ClickHouse.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write decisions with the vectors they were made on and the outcomes known at a moment, one row a decision.

    Nothing in it was learned later than --as-of, corrections of labels included. Columns have the features' names.
    """
    settings = reachable(Settings())
    address = clickhouse or settings.clickhouse
    with (
        told_plainly(NoTrainingSet, DefinitionsError, SinkBusy, DatabaseError, OSError, ValueError),
        _progress() as told,
    ):
        asked = _asked(settings, of, model, as_of, since or 0)
        written = write_training_set(client_for(address), asked, file, told)
    if as_json:
        typer.echo(msgspec.json.encode(written))
        return
    about = f"{written.rows:,} decisions, {written.positives:,} of them {'fraud' if of == 'fraud' else 'redeemed'}"
    Console().print(f"{about}: {written.out}", highlight=False, markup=False, soft_wrap=True)
    if written.left_out:
        Console().print(f"  {written.left_out:,} have vectors of other feature sets and are left out", highlight=False)


def _asked(settings: Settings, of: Of, model: str | None, as_of: int, since: int) -> Asked:
    if of == "offers":
        return Asked(of, model or "offers", offer_features.FEATURES_ID, offer_features.NAMES, as_of, since)
    scorer = fraud_scorer(settings)
    return Asked(of, model or settings.champion, scorer.features_id, scorer.names, as_of, since)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], object]]:
    columns = (TextColumn("decisions"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("decisions", total=None)
        yield lambda rows, known: progress.update(task, completed=rows, total=known)
