"""`headrace evaluate offers`: what the rankings are worth on one wave of randomised sends."""

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from streams.assembly import offer_pipeline
from streams.card_offers import CardOffers
from streams.collector import spare_keyed_state
from streams.commands.screen import measured, spinning, told_plainly
from streams.files import UnreadableFile
from streams.offer_evaluation import UnknownWave, Wave, evaluate_offers
from streams.settings import Settings


def evaluate_offers_command(
    folder: Annotated[
        Path, typer.Argument(help="Holds portfolio.json, profile.json.gz and transcript*.parquet.", metavar="DIR")
    ],
    test_wave: Annotated[int, typer.Option(help="The hour of the sends that are judged.", min=0)],
    max_duration_days: Annotated[float, typer.Option(help="Judge only offers open for at most so long.", min=0)] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Rank and learn in one pass over the events up to a wave of sends, then judge the rankings of that wave.

    Learned from are only offers whose time is over. A send of a bogo or a discount succeeds when the customer saw the
    offer at or before redeeming it, both in its time. The policy is worth the mean success of those sends where it
    would have sent the same, as sends are random.
    """
    spare_keyed_state()
    with told_plainly(UnreadableFile, UnknownWave), spinning("reading customers") as say:
        records = CardOffers(folder).records()
        wave = Wave(test_wave, max_duration_days)
        pipeline = offer_pipeline(Settings(ranking_throttle=0))  # rankings that are not judged would only take time
        result = evaluate_offers(pipeline, records, wave, lambda count: say(f"{count:,} events replayed"))
    if as_json:
        typer.echo(orjson.dumps(result))
    else:
        Console().print(measured(result, f"hour {test_wave}, at most {max_duration_days:g} days"))
