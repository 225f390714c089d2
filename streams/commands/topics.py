"""`headrace topics list | create`: what headrace reads and writes on Kafka."""

from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from schemas.records import DAY
from streams.commands.screen import told_plainly
from streams.running import local
from streams.settings import Settings
from streams.topic_admin import KafkaAway, TopicState, WrongPartitions, create_topics, list_topics

commands = typer.Typer(help="See and create headrace's topics on Kafka.", no_args_is_help=True)

Kafka = Annotated[str | None, typer.Option(help="The broker, HOST:PORT.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@commands.command("list")
def list_command(kafka: Kafka = None, as_json: AsJson = False) -> None:
    """Tell every topic, what it carries, how long it is kept, and whether it is there."""
    with told_plainly(KafkaAway, WrongPartitions):
        states = list_topics(kafka or local(Settings()).kafka)
    if as_json:
        typer.echo(msgspec.json.encode({"topics": states}))
        return
    table = Table("topic", "message", "partitions", "kept", "on the cluster", box=None)
    for state in states:
        table.add_row(state.name, state.message, str(state.partitions), _kept(state), _found(state))
    Console().print(table)


@commands.command("create")
def create_command(
    kafka: Kafka = None,
    replication: Annotated[int, typer.Option(help="Copies of each partition.", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing; those that are there stay as they are."""
    with told_plainly(KafkaAway, WrongPartitions):
        created = create_topics(kafka or local(Settings()).kafka, replication=replication)
    if as_json:
        typer.echo(msgspec.json.encode({"created": created}))
        return
    Console().print(f"created {', '.join(created)}" if created else "all topics are there", soft_wrap=True)


def _kept(state: TopicState) -> str:
    return "the last of each key" if state.retention_ms is None else f"{state.retention_ms // DAY} days"


def _found(state: TopicState) -> str:
    if state.found is None:
        return "[dim]missing[/]"
    return "[green]yes[/]" if state.found == state.partitions else f"[red]with {state.found} partitions[/]"
