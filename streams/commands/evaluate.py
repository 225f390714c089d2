"""`headrace evaluate`: what the pipeline's scores are worth on labelled history, by the handbook's protocol."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from rich.console import Console

from schemas.durations import milliseconds
from schemas.errors import BadMessage
from schemas.records import DAY
from streams.assembly import fraud_pipeline, fraud_scorer
from streams.collector import spare_keyed_state
from streams.commands.evaluate_policy import evaluate_policy_command
from streams.commands.evaluate_recommendations import evaluate_recommendations_command
from streams.commands.screen import measured, spinning, told_plainly
from streams.evaluation import Keep, NothingToJudge, Protocol, Told, evaluate_fraud, labelled_sources
from streams.files import UnreadableFile
from streams.mappings import Mapping, MappingError
from streams.settings import Settings
from streams.vector_file import VectorFile

CARD_TRANSACTIONS = Path(__file__).parents[2] / "examples" / "mappings" / "card_transactions.yaml"

commands = typer.Typer(help="Measure models and policies on history.", no_args_is_help=True)
commands.command("policy")(evaluate_policy_command)
commands.command("recommendations")(evaluate_recommendations_command)


@commands.callback()
def _family() -> None:
    """Measure models and policies on history."""


@commands.command("fraud")
def evaluate_fraud_command(
    files: Annotated[list[Path], typer.Argument(help="Labelled transactions, in order of time.", exists=True)],
    test_from: Annotated[datetime, typer.Option(help="The first day judged (UTC).", formats=["%Y-%m-%d"])],
    test_days: Annotated[int, typer.Option(help="How many days are judged.", min=1)] = 7,
    label_delay: Annotated[str, typer.Option(help="How long a label takes to arrive: 7, or 7d.")] = "7",
    by_week: Annotated[bool, typer.Option("--by-week", help="Judge each week, and print the means.")] = False,
    mapping: Annotated[Path, typer.Option("--map", help="How columns become fields.")] = CARD_TRANSACTIONS,
    model: Annotated[Literal["additive", "logistic", "forest"] | None, typer.Option(help="What learns.")] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="Write every score and the features it was made from, as Parquet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score and learn in one pass over the files, then judge the scores of the test days.

    Labels reach the pipeline only after their delay. Metrics: ROC AUC, average precision, and the precision of the
    100 riskiest cards of each day, after leaving out customers already known to be defrauded.
    """
    delay = milliseconds(f"{label_delay}d" if label_delay.isdigit() else label_delay)
    if by_week and test_days % 7:
        raise typer.BadParameter(f"{test_days} days are no whole weeks", param_hint="--test-days")
    settings = Settings(label_window=delay)
    settings = settings.model_copy(update={"model": model}) if model else settings
    protocol = Protocol(test_from, test_days, delay // DAY, by_week)
    spare_keyed_state()
    refusals = (MappingError, UnreadableFile, BadMessage, NothingToJudge)
    with told_plainly(*refusals), spinning("reading labels") as say, _vector_file(vectors, settings) as keep:
        sources, frauds = labelled_sources(files, Mapping.load(mapping), delay)
        result = evaluate_fraud(fraud_pipeline(settings), sources, frauds, protocol, _counted(say), keep)
    if as_json:
        typer.echo(orjson.dumps(result))
    else:
        means = {name: value for name, value in result.items() if name != "weeks"}
        Console().print(measured(means, f"{test_days} days from {test_from:%Y-%m-%d}"))


def _counted(say: Callable[[str], None]) -> Told:
    return lambda count: say(f"{count:,} transactions scored")


@contextmanager
def _vector_file(path: Path | None, settings: Settings) -> Iterator[Keep]:
    """Yield what takes each score, into a file where one is asked for."""
    if path is None:
        yield lambda _score, _fraud: None
        return
    with VectorFile(path, fraud_scorer(settings).names) as file:
        yield file.add
