"""`headrace evaluate recommendations`: what the rating model and the recommendations are worth on past ratings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from streams.files import UnreadableFile
from streams.ratings import rating_history


def evaluate_recommendations_command(
    file: Annotated[Path, typer.Argument(help="Ratings, as MovieLens has them, with the items beside them.")],
    rank_every: Annotated[int, typer.Option(help="Recommend before every nth rating; 0: never.", min=0)] = 25,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Expect each rating before learning it, beside River's Baseline and BiasedMF over the same ratings.

    Recommendations are judged by where the item stood that a user chose next and liked, among all they did not have.
    """
    try:
        history = rating_history(file)
    except UnreadableFile as failure:
        Console(stderr=True).print(str(failure), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from failure
    # River takes seconds to import, which the other commands are spared.
    from streams.rating_evaluation import evaluate_recommendations

    with _watched() as told:
        result = evaluate_recommendations(history, rank_every, told)
    if as_json:
        typer.echo(orjson.dumps(result))
    else:
        Console().print(_table(result, file.name))


def _table(result: dict[str, Any], title: str) -> Table:
    table = Table("measure", "value", title=title)
    for name, value in result.items():
        table.add_row(name, f"{value:.4f}" if isinstance(value, float) else f"{value:,}")
    return table


@contextmanager
def _watched() -> Iterator[Any]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"))
    with Progress(*columns, TimeElapsedColumn(), transient=True, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def told(what: str, more: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None)
            bar.advance(tasks[what], more)

        yield told
