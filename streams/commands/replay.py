"""`headrace replay`: history through the in-process engine, its state left where live workers go on from it."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import msgspec
import typer
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from schemas.durations import milliseconds
from schemas.errors import BadMessage
from schemas.privacy import Tokeniser
from schemas.records import AnyRecord
from sinks.base import SinkBusy
from sinks.checkpoint import RedisStore
from sinks.connection import connect
from sinks.earlier import clear_tasks, commits_of, mark_finished, mark_unfinished
from sinks.store import Fenced, Position
from streams.assembly import fraud_pipeline
from streams.backfill import Backfill, History, PartitionedReplay
from streams.collector import spare_keyed_state
from streams.commands.screen import told_plainly
from streams.deliveries import Deliveries, Undelivered
from streams.files import UnreadableFile
from streams.handover import Handover, WorkersRunning, places, refuse_running_workers
from streams.kafka_log import KafkaLog
from streams.mappings import Mapping, MappingError
from streams.outbox import Outbound, outbound
from streams.pipeline import Pipeline
from streams.preflight import NotReady, refuse_unready
from streams.running import local
from streams.settings import Settings
from streams.topic_admin import KafkaAway, list_topics

REDIS_SECONDS = 30.0
TOLD_EVERY = 2_000


class EarlierState(RuntimeError):
    """Redis holds state of the pipeline already."""


class NothingToReplay(ValueError):
    """The files hold no transactions."""


REFUSALS = (
    BadMessage,
    EarlierState,
    Fenced,
    KafkaAway,
    MappingError,
    NotReady,
    NothingToReplay,
    SinkBusy,
    Undelivered,
    UnreadableFile,
    WorkersRunning,
)


class Summary(msgspec.Struct):
    """What history came to, and the offset that live workers begin at in each partition of each source."""

    events: int
    scores: int
    states: int
    models: int
    seconds: float
    events_per_second: float
    live_from: dict[str, dict[int, int]]


def replay_command(
    files: Annotated[list[Path], typer.Argument(help="Transactions, in order of time: all before some moment.")],
    mapping: Annotated[Path | None, typer.Option("--map", help="How the files' columns become fields.")] = None,
    label_delay: Annotated[str | None, typer.Option(help="Frauds are charged back so much later, such as 7d.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the state that Redis holds.")] = False,
    publish_outputs: Annotated[
        bool, typer.Option("--publish-outputs", help="Produce scores, alerts and examples to Kafka too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score and learn from history before any worker runs, and leave the state where workers go on from.

    Run it while no worker does. Workers then begin on Kafka at the first event of the last days of history (the
    lateness), and drop by their ids those that history had. Labels come from the mapping; without one, from Kafka.
    """
    spare_keyed_state()
    with told_plainly(*REFUSALS), _watched() as screen:
        settings = local(Settings())
        history = _history(files, mapping, label_delay, settings)
        refuse_unready(fraud_pipeline(settings), settings)
        summary = asyncio.run(Job(history, settings, screen, force, publish_outputs).run())
    if as_json:
        typer.echo(msgspec.json.encode(summary))
    else:
        _print(summary)


def _history(files: list[Path], path: Path | None, label_delay: str | None, settings: Settings) -> History:
    mapping = None if path is None else Mapping.load(path)
    if label_delay is not None and (mapping is None or mapping.label is None):
        raise MappingError("--label-delay needs a --map whose `label` names the column of frauds")
    try:
        delay = settings.label_window if label_delay is None else milliseconds(label_delay)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--label-delay") from None
    return History(files, mapping, delay, Tokeniser({"1": settings.key("tokens")}))


@dataclass(slots=True)
class Screen:
    """Where a replay tells what it is at."""

    bar: Progress
    task: TaskID

    def tell(self, what: str) -> None:
        """Replace what was told last."""
        self.bar.update(self.task, description=what)

    def note(self, what: str) -> None:
        """Tell something that stays."""
        self.bar.console.print(what, style="yellow", markup=False, soft_wrap=True)


@dataclass(slots=True)
class Job:
    """History on its way through the pipeline into the store."""

    history: History
    settings: Settings
    screen: Screen
    force: bool
    publish_outputs: bool

    async def run(self) -> Summary:
        """Step history, then write what came of it; nothing is written before all of it has been stepped."""
        started, pipeline = perf_counter(), fraud_pipeline(self.settings)
        for group in (self.settings.group, self.settings.group_of(("fraud",))):
            refuse_running_workers(self.settings.kafka, group)
        backfill = Backfill(PartitionedReplay(pipeline, self._partitions(pipeline)))
        async with connect(self.settings.redis, REDIS_SECONDS) as client:
            commits = await self._earlier(client, list(backfill.engine.tasks))
            with closing(Deliveries(self.settings.kafka)) as deliveries:
                await self._step(backfill, deliveries)
                seconds = perf_counter() - started
                taken, live_from = self._places(pipeline, backfill.until)
                self.screen.tell("writing states")
                await mark_unfinished(client)
                if commits:
                    await clear_tasks(client, list(backfill.engine.tasks))
                handover = Handover(backfill, RedisStore(client), deliveries)
                await handover.write(taken)
                await mark_finished(client)
        rate = backfill.events / seconds
        models = len(backfill.newest)
        return Summary(backfill.events, backfill.scores, handover.states, models, seconds, rate, live_from)

    def _partitions(self, pipeline: Pipeline) -> dict[str, int]:
        topics = [topic for processor in pipeline.processors for topic in (*processor.inputs, *processor.tables)]
        return {state.name: state.found or 0 for state in list_topics(self.settings.kafka, topics)}

    async def _earlier(self, client: Redis, tasks: list[str]) -> dict[str, int]:
        """Return the commits of earlier runs, by task. Raises EarlierState unless they are to be replaced."""
        commits = await commits_of(client, tasks)
        what = f"Redis holds the state of {len(commits)} tasks, from {sum(commits.values()):,} commits"
        if commits and not self.force:
            raise EarlierState(f"{what}: --force replaces it by that of history")
        if commits:
            self.screen.note(f"{what}, and every model: replacing them")
        return commits

    async def _step(self, backfill: Backfill, deliveries: Deliveries) -> None:
        said: list[tuple[str, AnyRecord]] = []
        for record in self.history.records():
            new = backfill.step(record)
            if self.publish_outputs:
                said += new
            if backfill.events % TOLD_EVERY == 0:
                self.screen.tell(f"{backfill.events:,} transactions stepped")
            if len(said) >= TOLD_EVERY:
                await produce(deliveries, said)
                said.clear()
        await produce(deliveries, said)
        if not backfill.events:
            raise NothingToReplay("there are no transactions in the files")

    def _places(self, pipeline: Pipeline, until: int) -> tuple[dict[Position, int], dict[str, dict[int, int]]]:
        self.screen.tell("looking for where workers go on")
        # An event older than its id is remembered could not be told from a new one.
        since = until - min(self.settings.lateness, self.settings.dedupe_horizon)
        with closing(KafkaLog(self.settings.kafka)) as log:
            return places(pipeline, log, since, self.history.covers)


async def produce(deliveries: Deliveries, said: Iterable[tuple[str, AnyRecord]]) -> None:
    """Produce what tasks said to others than tasks, as commit 0 of each. Raises Undelivered."""
    by_task: dict[str, list[Outbound]] = {}
    for task, record in said:
        if not record.topic.internal:
            by_task.setdefault(task, []).append(outbound(record, record.topic.encode(record.message)))
    for task, out in by_task.items():
        await deliveries.produce(task, 0, out)


def _print(summary: Summary) -> None:
    console = Console()
    console.print(f"[green]✓[/] {summary.events:>10,} transactions, {summary.scores:,} scores, {summary.models} models")
    console.print(f"  in {summary.seconds:.1f} s, {summary.events_per_second:,.0f} a second")
    console.print(f"  {summary.states:,} states written; workers go on from")
    for topic, begin in summary.live_from.items():
        console.print(f"    {topic}: {', '.join(f'{at}@{offset:,}' for at, offset in sorted(begin.items()))}")


@contextmanager
def _watched() -> Iterator[Screen]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, transient=True, console=Console(stderr=True)) as bar:
        yield Screen(bar, bar.add_task("reading history"))
