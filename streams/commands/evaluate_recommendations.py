"""`headrace evaluate recommendations`: what the rating model and the recommendations are worth on past ratings."""

from collections import Counter as Tally
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from streams.commands.screen import measured, spinning, told_plainly
from streams.files import UnreadableFile
from streams.ratings import rating_history


def evaluate_recommendations_command(
    file: Annotated[
        Path, typer.Argument(help="Ratings, as MovieLens has them, with the items beside them.", dir_okay=False)
    ],
    rank_every: Annotated[int, typer.Option(help="Recommend before every nth rating; 0: never.", min=0)] = 25,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Expect each rating before learning it, beside River's Baseline and BiasedMF over the same ratings.

    Recommendations are judged by where the item stood that a user chose next and liked, among all they did not have.
    """
    with told_plainly(UnreadableFile), spinning("reading ratings") as say:
        history = rating_history(file)
        # River takes seconds to import, which the other commands are spared.
        from streams.rating_evaluation import evaluate_recommendations

        result = evaluate_recommendations(history, rank_every, _counted(say))
    if as_json:
        typer.echo(orjson.dumps(result))
    else:
        Console().print(measured(result, file.name))


def _counted(say: Callable[[str], None]) -> Callable[[str, int], None]:
    gone_through: Tally[str] = Tally()

    def told(what: str, more: int) -> None:
        gone_through[what] += more
        say(f"{what}: {gone_through[what]:,} ratings")

    return told
