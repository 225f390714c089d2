"""`headrace explain`: why an event has its score, and that the same score comes out again."""

import asyncio
from contextlib import aclosing
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.results import FraudScore
from sinks.base import SinkBusy
from sinks.connection import connect
from sinks.serving import Reader
from streams.assembly import fraud_scorer
from streams.demo_screen import moment
from streams.explanation import ExplainedScore, FeatureValue, Unexplained, explain
from streams.running import reachable
from streams.settings import Settings


def explain_command(
    event_id: Annotated[str, typer.Argument(help="The event, as it was published.")],
    tenant: Annotated[str, typer.Option(help="Whose event it is.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a score was made from, and compute it again from the stored vector and model version.

    Ends with 1 when anything comes out otherwise, to the last bit, or when there is nothing to explain.
    """
    try:
        found = asyncio.run(_explained(reachable(Settings()), event_id, tenant))
    except (Unexplained, SinkBusy) as failure:
        Console(stderr=True).print(str(failure), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from failure
    if as_json:
        typer.echo(msgspec.json.encode(told(found)))
    else:
        _print(found, Console())
    if found.differing:
        raise typer.Exit(1)


def told(found: ExplainedScore) -> dict[str, object]:
    """Return the explanation as `--json` tells it."""
    differing = {each.field: {"stored": each.stored, "computed": each.computed} for each in found.differing}
    return {
        "event_id": found.score.event_id,
        "identical": not found.differing,
        "differing": differing,
        "score": found.score,
        "features": found.features,
    }


async def _explained(settings: Settings, event_id: str, tenant: str) -> ExplainedScore:
    async with aclosing(Reader(connect(settings.redis))) as reader:
        return await explain(fraud_scorer(settings), reader, event_id, tenant)


def _print(found: ExplainedScore, console: Console) -> None:
    score = found.score
    console.print(_head(score))
    for reason in score.reasons:
        console.print(f"  [bold]{reason.contribution:+.3f}[/]  {escape(reason.text)}")
    table = Table("feature", "value", "age", "contribution", box=None, title="What it was made from")
    for feature in sorted(found.features, key=lambda each: -abs(each.contribution or 0.0)):
        table.add_row(feature.name, *_cells(feature))
    console.print(table)
    if found.differing:
        console.print("[red]computed again, it differs:[/]")
        for each in found.differing:
            console.print(f"  {each.field}: stored {each.stored!r}, computed {each.computed!r}", markup=False)
    else:
        console.print("[green]computed again from the stored vector: identical, to the last bit[/]")


def _head(score: FraudScore) -> Table:
    made_by = f"{score.model}@{score.version}" if score.source == "model" else "rules"
    grid = Table.grid(padding=(0, 2))
    for name, value in (
        ("event", f"{score.event_id}   {moment(score.event_time)} UTC"),
        ("payment", f"{score.amount:,.2f} {score.currency} by {score.user} at {score.terminal}"),
        ("score", f"{score.score!r}   calibrated {score.probability:.4f}   risk {score.risk}"),
        ("decision", score.decision),
        ("made by", f"{made_by}   feature set {score.features}"),
        ("read from", f"{score.input_topic}, partition {score.input_partition}, offset {score.input_offset}"),
        ("log-odds", f"intercept {score.intercept:+.3f}, reasons below, all other features {score.other:+.3f}"),
    ):
        grid.add_row(f"[dim]{name}[/]", escape(value))
    return grid


def _cells(feature: FeatureValue) -> tuple[str, str, str]:
    value = "–" if feature.value is None else f"{feature.value:,.4g}"
    contribution = "" if feature.contribution is None else f"{feature.contribution:+.4f}"
    return value, _age(feature.age_ms), contribution


def _age(milliseconds: int | None) -> str:
    """Return a span as people say it.

    >>> _age(90_000_000), _age(None)
    ('1.0 d', '–')
    """
    if milliseconds is None:
        return "–"
    for unit, span in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)):
        if milliseconds >= span:
            return f"{milliseconds / span:.1f} {unit}"
    return f"{milliseconds / 1000:.1f} s"
