"""`headrace publish`: the rows of a file as messages on Kafka."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from schemas.durations import milliseconds
from schemas.errors import BadMessage
from schemas.events import Event
from schemas.records import AnyRecord, AnyTopic
from schemas.topics import ALL, BY_NAME, FEEDBACK
from streams.commands.screen import told_plainly
from streams.deliveries import Undelivered
from streams.files import UnreadableFile, row_count
from streams.mappings import Mapping, MappingError, records
from streams.publish import Pace, Published, publish
from streams.running import local
from streams.settings import Settings
from streams.topic_admin import KafkaAway, WrongPartitions, create_topics

PUBLISHED_BY_APPS = tuple(topic.name for topic in ALL if issubclass(topic.model, Event))


class Summary(msgspec.Struct):
    """What was published, and the rows that were no messages."""

    records: int
    topics: dict[str, int]
    seconds: float
    records_per_second: float
    refused: int
    first_refusal: str | None = None


@dataclass(slots=True)
class Refusals:
    """Counts the rows that are no messages and remembers the first."""

    count: int = 0
    first: str | None = None

    def __call__(self, row: int, bad: BadMessage) -> None:
        self.count += 1
        self.first = self.first or f"row {row}: {bad}"


def publish_command(
    file: Annotated[Path, typer.Argument(help="Rows as .csv, .jsonl or .parquet, the first two also as .gz.")],
    topic: Annotated[str, typer.Option("--as", help=f"What the rows are: {', '.join(PUBLISHED_BY_APPS)}.")],
    mapping: Annotated[Path | None, typer.Option("--map", help="How the file's columns become fields.")] = None,
    rate: Annotated[float | None, typer.Option(help="At most so many a second.", min=0.001)] = None,
    speedup: Annotated[float | None, typer.Option(help="So many times as fast as it happened.", min=0.001)] = None,
    label_delay: Annotated[str | None, typer.Option(help="Frauds are charged back so much later, such as 7d.")] = None,
    kafka: Annotated[str | None, typer.Option(help="The broker, HOST:PORT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Publish the rows of a file to Kafka in their order, with the labels in their time."""
    with told_plainly(MappingError, UnreadableFile, ValueError, KafkaAway, WrongPartitions, Undelivered):
        if topic not in PUBLISHED_BY_APPS:
            raise ValueError(f"{topic!r} is not published by apps: choose {', '.join(PUBLISHED_BY_APPS)}")
        delay = None if label_delay is None else milliseconds(label_delay)
        job = Job(file, BY_NAME[topic], mapping, delay)
        summary = job.run(kafka or local(Settings()).kafka, Pace(rate, speedup))
    if as_json:
        typer.echo(msgspec.json.encode(summary))
    else:
        _print(summary)
    if summary.refused and not summary.records:
        raise typer.Exit(1)


@dataclass(slots=True)
class Job:
    """A file on its way to a topic; `label_delay_ms` sends its labels to `feedback` too."""

    file: Path
    topic: AnyTopic
    mapping_path: Path | None = None
    label_delay_ms: int | None = None
    refusals: Refusals = field(default_factory=Refusals)

    def run(self, bootstrap: str, pace: Pace) -> Summary:
        """Create the topics where they are missing and publish the file, telling its progress."""
        source = self._records()
        create_topics(bootstrap, (self.topic,) if self.label_delay_ms is None else (self.topic, FEEDBACK))
        with _bar() as bar:
            task = bar.add_task(f"publishing {escape(self.file.name)}", total=row_count(self.file))
            done = publish(
                source,
                bootstrap,
                pace=pace,
                source=f"/files/{self.file.name}",
                progress=lambda so_far: bar.update(task, completed=self._rows(so_far)),
            )
        refused = self.refusals
        return Summary(done.records, done.topics, done.seconds, done.records_per_second, refused.count, refused.first)

    def _records(self) -> Iterator[AnyRecord]:
        mapping = None if self.mapping_path is None else Mapping.load(self.mapping_path)
        if self.label_delay_ms is not None and (mapping is None or mapping.label is None):
            raise MappingError("--label-delay needs a --map whose `label` names the column of frauds")
        return records(self.file, self.topic, mapping, label_delay_ms=self.label_delay_ms, refuse=self.refusals)

    def _rows(self, so_far: Published) -> int:
        return so_far.topics.get(self.topic.name, 0) + self.refusals.count


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)


def _print(summary: Summary) -> None:
    console = Console()
    for name, count in summary.topics.items():
        console.print(f"[green]✓[/] {count:>10,} on {name}")
    console.print(f"  in {summary.seconds:.1f} s, {summary.records_per_second:,.0f} a second")
    if summary.first_refusal is not None:
        told = f"! {summary.refused:,} rows were refused; the first: {summary.first_refusal}"
        console.print(told, style="yellow", markup=False, soft_wrap=True)
