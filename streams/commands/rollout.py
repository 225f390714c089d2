"""`headrace rollout`: how a challenger's trial stands, and orders to end it."""

from contextlib import closing
from getpass import getuser
from typing import Annotated

import msgspec
import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Table

from schemas.rollout_results import Rollout
from streams.assembly import trial_of
from streams.commands.screen import spinning, told_plainly
from streams.deliveries import Undelivered
from streams.kafka_log import KafkaLog
from streams.model_orders import Refused
from streams.publish import publish
from streams.rollout_orders import End, give, ordered, stands
from streams.running import reachable
from streams.settings import Settings

commands = typer.Typer(help="The trial of a challenger's policy for offers.", no_args_is_help=True)
Model = Annotated[str, typer.Option(help="The ranker whose offers are shared out.")]
Why = Annotated[str, typer.Option(help="On what grounds; it is kept with the order.")]
Patience = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a worker to obey.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Told = (Refused, Undelivered, KafkaException)


@commands.callback()
def _family() -> None:
    """The trial of a challenger's policy for offers."""


@commands.command("status")
def status_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """Show how the newest trial of each ranker stands, and its evidence."""
    with told_plainly(*Told), closing(KafkaLog(reachable(Settings()).kafka)) as log:
        found = list(stands(log).values())
    if as_json:
        typer.echo(msgspec.json.encode(found))
    else:
        Console().print(table(found) if found else "no trial has had an outcome yet")


@commands.command("promote")
def promote_command(why: Why, model: Model = "offers", patience: Patience = 30.0, as_json: AsJson = False) -> None:
    """Let the challenger decide for all customers from now on. Needs a running worker."""
    _show(_ended(model, "promoted", why, patience), as_json)


@commands.command("rollback")
def rollback_command(why: Why, model: Model = "offers", patience: Patience = 30.0, as_json: AsJson = False) -> None:
    """Let the challenger decide for nobody from now on. Needs a running worker."""
    _show(_ended(model, "rolled_back", why, patience), as_json)


def _ended(model: str, end: End, why: str, patience: float) -> Rollout:
    settings = reachable(Settings())
    trial = trial_of(settings)
    with (
        told_plainly(*Told),
        spinning(f"{model}: the challenger is {end.replace('_', ' ')}"),
        closing(KafkaLog(settings.kafka)) as log,
    ):
        order = ordered(stands(log).get(model), model, None if trial is None else trial.name, end, getuser(), why)
        return give(log, order, lambda record: publish([record], settings.kafka), patience)


def _show(rollout: Rollout, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(rollout))
    else:
        Console().print(table([rollout]))


def table(rollouts: list[Rollout]) -> Table:
    """Return how trials stand, a row each."""
    shown = Table(
        "model", "state", "champion", "challenger", "difference", "better", "worse", "ended by", "why", box=None
    )
    for each in rollouts:
        champion = _arm(each.champion, each.champion_mean, each.champion_outcomes)
        challenger = _arm(each.challenger, each.challenger_mean, each.challenger_outcomes)
        evidence = (f"{each.low:+.4f} … {each.high:+.4f}", f"{each.better:.4g}", f"{each.worse:.4g}")
        shown.add_row(each.model, each.state.replace("_", " "), champion, challenger, *evidence, each.by, each.why)
    return shown


def _arm(policy: str, mean: float | None, outcomes: int) -> str:
    return f"{policy}: {'–' if mean is None else f'{mean:.4f}'} of {outcomes:,}"
