"""`headrace replay-decision`: the state a decision was made from, rebuilt by the journal, and the decision again."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import msgspec
import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.errors import BadMessage
from schemas.privacy import Tokeniser
from schemas.results import FraudScore
from schemas.topics import MODELS
from sinks.base import SinkBusy
from sinks.connection import connect
from sinks.serving import Reader
from streams.assembly import fraud_scorer, pipeline
from streams.backup_files import BadBackup
from streams.collector import spare_keyed_state
from streams.commands.screen import spinning
from streams.decision_log import Unreplayable
from streams.decision_replay import DecisionReplay, Replayed, no_snapshots
from streams.decision_search import ranking_of, score_of, some_scores, versions_of
from streams.inbound import Edge
from streams.kafka_log import KafkaLog
from streams.running import reachable
from streams.sealing import Seal
from streams.settings import Settings
from streams.snapshots import snapshots_in
from streams.topic_admin import KafkaAway, list_topics

REFUSALS = (BadBackup, BadMessage, KafkaAway, KafkaException, SinkBusy, Unreplayable)
UNEQUAL, UNTOLD = 1, 2
SHOWN = 20
"""How many differing decisions of a sample are told one by one."""


def replay_decision_command(
    event_id: Annotated[
        str | None, typer.Argument(help="What was decided on: a payment, a request for offers.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose it is.")] = "default",
    sample: Annotated[int | None, typer.Option(help="Replay so many scores, drawn at random.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Draw others.")] = 0,
    ranking: Annotated[
        bool, typer.Option("--ranking", help="Not the score of a payment, but the ranking of offers made on it.")
    ] = False,
    begin: Annotated[
        Path | None, typer.Option("--from", help="Begin at the newest backup in this folder from before the decision.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Rebuild the state that a decision was made from, make it again, and show the fields that differ to any bit.

    The records of its customer and its terminal are stepped in the order that the journal tells. Ends with 0 when all
    is identical, with 1 when anything differs, and with 2 when that cannot be told.
    """
    if (event_id is None) == (sample is None):
        raise typer.BadParameter("name one decision, or say --sample N")
    if sample is not None and begin is not None:
        raise typer.BadParameter("a sample is drawn from the whole log, so it begins where that does: leave out --from")
    spare_keyed_state()
    settings, started = reachable(Settings()), perf_counter()
    with _telling_why_not(), spinning("looking for the decision") as tell, closing(KafkaLog(settings.kafka)) as log:
        list_topics(settings.kafka)  # an absent broker is told at once, and by its address
        edge = Edge(Tokeniser({"1": settings.key("tokens")}), Seal(settings.key("dead-letters")))
        snapshots = no_snapshots if begin is None else snapshots_in(begin, pipeline(settings))
        replay = DecisionReplay(pipeline(settings), log, edge, snapshots, tell=tell)
        if event_id is None:
            found = list(replay.scores(some_scores(log, sample or 0, seed)))
        else:
            of = _ranking if ranking else _score
            found = [asyncio.run(of(replay, settings, event_id, tenant))]
    seconds = perf_counter() - started
    names = fraud_scorer(settings).names
    if event_id is None:
        _say_counts(counted(found, names, seconds), as_json)
    else:
        _say(found[0], told(found[0], names) | {"seconds": seconds}, as_json)
    if any(each.differing for each in found):
        raise typer.Exit(UNEQUAL)


async def _score(replay: DecisionReplay, settings: Settings, event_id: str, tenant: str) -> Replayed:
    async with aclosing(Reader(connect(settings.redis))) as reader:
        stored = await score_of(reader, replay.log, event_id, tenant)
        if stored is None:
            return await _ranking(replay, settings, event_id, tenant)
        kept = {MODELS.name: await versions_of(reader, stored)}
    return next(replace(replay, kept=kept).scores([stored]))


async def _ranking(replay: DecisionReplay, settings: Settings, event_id: str, tenant: str) -> Replayed:
    async with aclosing(Reader(connect(settings.redis))) as reader:
        stored = await ranking_of(reader, replay.log, event_id, tenant)
    if stored is None:
        raise Unreplayable(f"there is no decision {event_id!r} of tenant {tenant!r} in Redis or on its topic")
    return replay.ranking(stored)


def told(found: Replayed, names: Sequence[str]) -> dict[str, Any]:
    """Return a replayed decision as `--json` tells it; `names` are those of a score's features."""
    event_id, tenant = found.stored.event_id, found.stored.tenant
    differing = {each.field: {"stored": each.stored, "computed": each.computed} for each in found.differing}
    features = {}
    if "vector" in differing and isinstance(found.stored, FraudScore):
        pairs = zip(names, *differing["vector"].values(), strict=False)
        features = {name: {"stored": was, "computed": now} for name, was, now in pairs if was != now}
    about = {"event_id": event_id, "tenant": tenant, "identical": not differing, "differing": differing}
    return about | {"features": features, "stored": found.stored, "computed": found.computed}


def counted(found: Sequence[Replayed], names: Sequence[str], seconds: float) -> dict[str, Any]:
    """Return what a sample came to as `--json` tells it, with the first decisions that differ."""
    unequal = [told(each, names) for each in found if each.differing]
    return {
        "replayed": len(found),
        "identical": len(found) - len(unequal),
        "differing": len(unequal),
        "decisions": unequal[:SHOWN],
        "seconds": seconds,
    }


def _say(found: Replayed, answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(answer))
        return
    stored, computed = (msgspec.to_builtins(each) for each in (found.stored, found.computed))
    differing = {each.field for each in found.differing}
    table = Table("field", "stored", "computed again", "", box=None)
    for name in dict.fromkeys((*stored, *computed)):
        mark = "[red]differs[/]" if name in differing else "[green]=[/]"
        table.add_row(name, _short(stored.get(name)), _short(computed.get(name)), mark)
    console = Console()
    console.print(table)
    for name, pair in answer["features"].items():
        console.print(f"  {name}: stored {pair['stored']!r}, computed {pair['computed']!r}", markup=False)
    if differing:
        console.print(f"[red]{len(differing)} fields differ:[/] {', '.join(sorted(differing))}")
    else:
        console.print("[green]rebuilt from the journal: identical in every field, to the last bit[/]")


def _say_counts(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(answer))
        return
    console = Console()
    style = "red" if answer["differing"] else "green"
    console.print(f"[{style}]{answer['identical']:,} of {answer['replayed']:,} scores are identical[/] to the last bit")
    for each in answer["decisions"]:
        console.print(f"  {each['event_id']}: {', '.join(each['differing'])}", markup=False)
    console.print(f"  in {answer['seconds']:.1f} s")


def _short(value: object) -> str:
    text = repr(value)
    return escape(text if len(text) <= 60 else f"{text[:57]}…")


@contextmanager
def _telling_why_not() -> Iterator[None]:
    """Tell in red on standard error why nothing can be told, and leave with status 2."""
    try:
        yield
    except REFUSALS as refused:
        Console(stderr=True).print(str(refused), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(UNTOLD) from refused
