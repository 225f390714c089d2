"""`headrace dead-letters list | replay`: what could not be used, and sending it back."""

from itertools import islice
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from schemas.results import DeadLetter
from streams.commands.screen import told_plainly
from streams.dead_letters import Original, Wanted, letters, opened, send_back
from streams.deliveries import Undelivered
from streams.demo_screen import moment
from streams.running import reachable
from streams.sealing import Seal, SealBroken
from streams.settings import Settings
from streams.topic_admin import KafkaAway

commands = typer.Typer(help="What could not be used: look at it, and send it back once it can.", no_args_is_help=True)

Reason = Annotated[str | None, typer.Option(help="Only those of this reason, such as not_json.")]
EventId = Annotated[str | None, typer.Option(help='Only this one: "topic/partition/offset".')]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Limit = Annotated[int | None, typer.Option(help="No more than so many.", min=1)]


@commands.command("list")
def list_command(
    reason: Reason = None,
    event_id: EventId = None,
    limit: Limit = None,
    show: Annotated[bool, typer.Option("--show", help="Open the sealed bytes: they may hold personal data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show dead letters: why they could not be used, and where they were. What they hold stays sealed."""
    settings = reachable(Settings())
    seal = Seal(settings.key("dead-letters"))
    with told_plainly(KafkaAway, SealBroken, Undelivered):
        found = list(islice(letters(settings.kafka, Wanted(reason, event_id)), limit))
        originals = [opened(letter, seal) if show else None for letter in found]
    if as_json:
        rows = [_row(letter, original) for letter, original in zip(found, originals, strict=True)]
        typer.echo(orjson.dumps(rows))
        return
    for letter, original in zip(found, originals, strict=True):
        _print(letter, original, Console())
    if not found:
        Console().print("no dead letters")


@commands.command("replay")
def replay_command(
    reason: Reason = None,
    event_id: EventId = None,
    limit: Limit = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to the topics they came from, with their bytes, keys and headers."""
    settings = reachable(Settings())
    seal = Seal(settings.key("dead-letters"))
    with told_plainly(KafkaAway, SealBroken, Undelivered):
        found = list(islice(letters(settings.kafka, Wanted(reason, event_id)), limit))
        originals = [opened(letter, seal) for letter in found]
        if originals and not yes:
            typer.confirm(f"Send {len(originals):,} records back to {_named(originals)}?", abort=True, err=True)
        count = send_back(settings.kafka, originals)
    if as_json:
        typer.echo(orjson.dumps({"replayed": count}))
    else:
        Console().print(f"{count:,} records sent back" if count else "no dead letters")


def _print(letter: DeadLetter, original: Original | None, console: Console) -> None:
    head = f"[bold]{escape(letter.event_id)}[/]  [red]{escape(letter.reason)}[/]  {moment(letter.event_time)} UTC"
    console.print(head, highlight=False, soft_wrap=True)
    console.print(f"  {letter.detail}", markup=False, highlight=False, soft_wrap=True)
    if original is not None:
        console.print(f"  {_text(original.value)}", markup=False, highlight=False, soft_wrap=True)


def _named(originals: list[Original]) -> str:
    return ", ".join(sorted({original.topic for original in originals}))


def _row(letter: DeadLetter, original: Original | None) -> dict[str, Any]:
    told = {name: getattr(letter, name) for name in ("event_id", "event_time", "reason", "detail")}
    told |= {name: getattr(letter, name) for name in ("topic", "partition", "offset", "code_version")}
    if original is None:
        return told
    headers = {name: _text(value) for name, value in original.headers}
    return told | {"key": _text(original.key), "value": _text(original.value), "headers": headers}


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode(errors="backslashreplace")
