"""`headrace models`: the published model versions, which of them decide, and orders to go back or to be rebuilt."""

import asyncio
from contextlib import aclosing, closing
from functools import partial
from getpass import getuser
from time import time
from typing import Annotated

import msgspec
import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Table

from online_models.snapshots import sign, verify
from processors.model_orders import AnyVersion, Excluded, kind_of
from schemas.records import Record
from schemas.results import ModelAlias
from schemas.topics import MODEL_ALIASES
from sinks.base import SinkBusy
from sinks.connection import connect
from sinks.serving import Reader
from streams.assembly import fraud_scorer
from streams.commands.screen import spinning, told_plainly
from streams.deliveries import Undelivered
from streams.demo_screen import moment
from streams.kafka_log import KafkaLog
from streams.model_aliases import aliases, promotion
from streams.model_orders import Asked, Keys, Rebuilt, Refused, doubts, give, newest_versions, rebuild, rollback
from streams.publish import publish
from streams.running import reachable
from streams.settings import Settings

commands = typer.Typer(help="The models that score.", no_args_is_help=True)
Model = Annotated[str, typer.Argument(help="The model, as `headrace models list` names it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Patience = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a worker to obey.")]
Told = (Refused, SinkBusy, Undelivered, KafkaException, ValueError)


@commands.callback()
def _family() -> None:
    """The models that score."""


@commands.command("list")
def list_command(
    tenant: Annotated[str, typer.Option(help="Whose models.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Show the newest published version of each model, and how good its scores have been."""
    with told_plainly(SinkBusy):
        versions = asyncio.run(_newest(reachable(Settings()), tenant))
    if as_json:
        typer.echo(msgspec.json.encode(versions))
        return
    table = Table("model", "kind", "learned through", "outcomes", "positive", "AUC", "AP", "digest", box=None)
    for version in versions:
        measured = (_figure(version, name) for name in ("roc_auc", "average_precision"))
        name, learned = f"{version.model}@{version.version}", moment(version.learned_through)
        kind, positive = kind_of(version)
        counts = (f"{version.examples:,}", f"{positive:,}")
        table.add_row(name, kind, learned, *counts, *measured, version.digest[:8])
    Console().print(table if versions else "no model has been published yet")


@commands.command("promote")
def promote_command(
    model: Model,
    share: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Only for this share of the customers, as the challenger.")
    ] = None,
    why: Annotated[str, typer.Option(help="The reason, for the audit.")] = "",
    as_json: AsJson = False,
) -> None:
    """Let a model decide that scored in the shadow: for all, or as the challenger for a share of the customers.

    Takes effect with the next payment. --share 0 takes a challenger back; promoting the old champion goes back to it.
    """
    settings = reachable(Settings())
    with told_plainly(*Told):
        alias = asyncio.run(_promoted(settings, model, share, why))
        publish([Record(MODEL_ALIASES, alias, alias.event_id)], settings.kafka)
    _tell([alias], as_json)


@commands.command("aliases")
def aliases_command(as_json: AsJson = False) -> None:
    """Show which model is the champion and which the challenger, for how many customers, since when and why."""
    settings = reachable(Settings())
    with told_plainly(*Told):
        found = aliases(settings.kafka)
    if not as_json and not found:
        Console().print(f"nothing was promoted: {settings.champion} decides, as the settings say", highlight=False)
        return
    _tell(found, as_json)


@commands.command("rollback")
def rollback_command(
    model: Model,
    to: Annotated[int, typer.Option(min=1, help="The version to go back to.")],
    tenant: Annotated[str, typer.Option(help="Whose model.")] = "default",
    patience: Patience = 30.0,
    as_json: AsJson = False,
) -> None:
    """Put a model back to an earlier version, which it then learns on from. Needs a running worker."""
    settings = reachable(Settings())
    with told_plainly(*Told), spinning(f"{model} back to version {to}"):
        version = asyncio.run(_rolled_back(settings, model, to, tenant, patience))
    if as_json:
        typer.echo(msgspec.json.encode(version))
    else:
        Console().print(f"{version.event_id} is {model}@{to} again: {version.examples:,} outcomes", highlight=False)


@commands.command("rebuild")
def rebuild_command(
    model: Model,
    exclude: Annotated[list[str], typer.Option(help="FIELD=VALUE of outcomes to leave out, e.g. source=call-centre.")],
    start: Annotated[int | None, typer.Option("--from", min=0, help="The version to go on from; 0: nothing.")] = None,
    patience: Patience = 30.0,
    as_json: AsJson = False,
) -> None:
    """Teach a model anew from the log without some outcomes, and put it there. Needs a running worker.

    Goes on from the last version that had learned none of them, with all other outcomes that the log still has. Warns
    where that version may have learned some that the log no longer has.
    """
    settings = reachable(Settings())
    with told_plainly(*Told), spinning("the outcomes in the log"):
        asked = Asked(model, [Excluded.parsed(text) for text in exclude], start)
        rebuilt, version = asyncio.run(_rebuilt(settings, asked, patience))
    if as_json:
        base = None if rebuilt.base is None else rebuilt.base.version
        counts = {"from": base, "learned": rebuilt.learned, "excluded": rebuilt.excluded}
        counts |= {"doubtful": rebuilt.doubtful, "unseen": rebuilt.unseen}
        typer.echo(msgspec.json.encode(counts | {"version": version}))
    else:
        told = f"{version.event_id}: {version.why}; {rebuilt.learned:,} outcomes learned, {rebuilt.excluded:,} left out"
        Console().print(told, highlight=False, soft_wrap=True)
    for warning in doubts(rebuilt, asked.named):
        Console(stderr=True).print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)


async def _promoted(settings: Settings, model: str, share: float | None, why: str) -> ModelAlias:
    if model not in (known := (settings.champion, *settings.shadows)):
        raise Refused(f"no worker with these settings runs {model!r}: name it in HEADRACE_SHADOWS; there is {known}")
    async with aclosing(Reader(connect(settings.redis))) as reader:
        return await promotion(reader, model, share, why, getuser(), round(time() * 1000))


def _tell(said: list[ModelAlias], as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(said))
        return
    table = Table("alias", "model", "customers", "since", "by", "why", box=None)
    for each in said:
        table.add_row(each.alias, each.model, f"{each.share:.0%}", moment(each.event_time), each.by, each.why)
    Console().print(table)


async def _rolled_back(settings: Settings, model: str, to: int, tenant: str, patience: float) -> AnyVersion:
    async with aclosing(Reader(connect(settings.redis))) as reader:
        return await give(reader, settings.kafka, await rollback(reader, model, to, tenant, getuser()), patience)


async def _rebuilt(settings: Settings, asked: Asked, patience: float) -> tuple[Rebuilt, AnyVersion]:
    scorer, key = fraud_scorer(settings), settings.key("models")
    vouched = partial(sign, key=key), partial(verify, key=key)
    keys = Keys(*vouched, scorer.names, scorer.features_id, getuser(), settings.correct_rewards)
    async with aclosing(Reader(connect(settings.redis))) as reader:
        with closing(KafkaLog(settings.kafka)) as log:
            rebuilt = await rebuild(reader, log, asked, keys)
        return rebuilt, await give(reader, settings.kafka, rebuilt.order, patience)


async def _newest(settings: Settings, tenant: str) -> list[AnyVersion]:
    async with aclosing(Reader(connect(settings.redis))) as reader:
        return list((await newest_versions(reader, tenant)).values())


def _figure(version: AnyVersion, name: str) -> str:
    return f"{version.metrics[name]:.4f}" if name in version.metrics else "–"
