"""`headrace demo`: the whole pipeline on this machine at once, with nothing to install or to set up."""

import asyncio
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import msgspec
import typer
from redis import Redis
from rich.console import Console
from rich.live import Live

from schemas.privacy import Tokeniser
from sinks.analytics import AnalyticsSink, client_for, create_schema, query
from sinks.base import SinkBusy
from sinks.feature_names import keep_feature_names
from streams import demo, demo_live
from streams.assembly import feature_names
from streams.commands.api import serve_api
from streams.commands.screen import told_plainly
from streams.deliveries import Undelivered
from streams.demo_screen import progress, summary, to_try
from streams.files import UnreadableFile
from streams.item_simulator import Shoppers
from streams.mappings import Mapping as FileMapping
from streams.mappings import MappingError
from streams.offer_simulator import Customers
from streams.running import demo_folder
from streams.services.errors import ServiceFailed
from streams.services.ports import free_port, is_free
from streams.services.supervisor import Part, down, up
from streams.settings import Settings
from streams.tally import Tally
from streams.topic_admin import KafkaAway

EVENTS = 20_000
INTERRUPTED = 130
FRAME_SECONDS = 0.25


@dataclass(frozen=True)
class Plan:
    """What is run: a file, or a simulated world of that seed; `events` None is all of the file.

    With `kafka` it goes over a real broker, else through the engine in this process.
    """

    file: Path | None
    mapping: Path | None
    events: int | None
    seed: int
    kafka: bool

    @property
    def expected(self) -> int | None:
        """How many transactions there will be, where that is known."""
        return self.events if self.file else self.events or EVENTS

    @property
    def parts(self) -> tuple[Part, ...]:
        """The services it needs."""
        return tuple(part for part in Part if self.kafka or part is not Part.KAFKA)

    def sources(self, settings: Settings) -> demo.Sources:
        """Return what to run; offers are asked for, and items bought, by simulated customers only."""
        if self.file:
            mapping = FileMapping.load(self.mapping) if self.mapping else None
            records = demo.from_file(self.file, mapping, settings)
            return demo.Sources(demo.first(self.events, records) if self.events else records)
        events = self.events or EVENTS
        world, tokeniser = demo.demo_world(events, self.seed), Tokeniser({"1": settings.key("tokens")})
        payments = demo.first(events, demo.simulated(world, tokeniser))
        return demo.Sources(payments, Customers(world), Shoppers(world))


def demo_command(
    file: Annotated[Path | None, typer.Argument(help="Transactions to run, not simulated ones.", exists=True)] = None,
    events: Annotated[int | None, typer.Option(help="How many transactions; 20,000 simulated ones.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Another seed is another world.")] = 1,
    mapping: Annotated[Path | None, typer.Option("--map", help="How the file's columns become fields.")] = None,
    kafka: Annotated[bool, typer.Option("--kafka", help="Over a real broker, by a worker and a sink process.")] = False,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="End after the run, services included.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> None:
    """Run payments, offers and purchases through the pipelines, watch them, then read the results over HTTP.

    A real Redis and the ClickHouse engine start in .headrace/demo, in place of an earlier demo's; the pipelines run in
    this process. `auc` and `average_precision` are progressive: over the payments whose outcome became known during
    the run, each with the score it got when it came. `offers` has the share of what was shown that was redeemed,
    `recommendations` the share that was bought, each beside what a random choice would have come to. `clickhouse_rows`
    are the rows of all views.
    """
    settings, console = Settings(), Console(stderr=as_json)
    plan, tally = Plan(file, mapping, events, seed, kafka), Tally(settings.champion)
    refusals = (ServiceFailed, SinkBusy, MappingError, UnreadableFile, KafkaAway, Undelivered)
    with _until_interrupted(), told_plainly(*refusals):
        sources = plan.sources(settings)
        with _services(settings, plan, console) as found:
            with _shown(console, tally, plan.expected) as show:
                _run(plan, found, sources, tally, show)
            result = summarised(tally, found, sources)
            if as_json:
                typer.echo(msgspec.json.encode(result))
            else:
                console.print(summary(result))
            if not no_serve:
                _serve(found, console, tally)


def summarised(tally: Tally, settings: Settings, sources: demo.Sources) -> dict[str, Any]:
    """Return the figures of a run, with what really rests in ClickHouse and Redis."""
    client = client_for(settings.clickhouse)
    counts = " UNION ALL ".join(f"SELECT count() AS n FROM v_{view}" for view in demo.VIEWS)
    with Redis.from_url(settings.redis) as redis:
        served = sum(1 for _ in redis.scan_iter("hr:*:score:*", count=10_000))
    return {
        "events": tally.events,
        "scores": tally.scores,
        "alerts": tally.alerts,
        "dead_letters": tally.dead_letters,
        "events_per_second": round(tally.rate),
        **tally.quality(),
        "clickhouse_rows": query(client, f"SELECT sum(n) FROM ({counts})").rows[0][0],
        "redis_scores": served,
        "offers": tally.offers.summary(sources.random_rate),
        "recommendations": tally.recommendations.summary(sources.shoppers),
    }


@contextmanager
def _services(settings: Settings, plan: Plan, console: Console) -> Iterator[Settings]:
    """Start fresh services, and processes where the plan needs them; yield their addresses, and end all of them."""
    folder = demo_folder(settings)
    # SIGTERM ends a demo as Ctrl-C does.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as processes:
            with console.status(f"starting {', '.join(plan.parts)}", spinner="dots"):
                if folder.exists():
                    down(folder)
                    shutil.rmtree(folder)
                addresses = {name: at for name, at in asdict(up(folder, plan.parts)).items() if at}
                found = settings.model_copy(update=addresses)
                if plan.kafka:
                    processes.enter_context(demo_live.workforce(found, folder))
            yield found
    finally:
        down(folder)
        signal.signal(signal.SIGTERM, before)


def _run(plan: Plan, settings: Settings, sources: demo.Sources, tally: Tally, show: Callable[[], None]) -> None:
    client = client_for(settings.clickhouse)
    create_schema(client)
    keep_feature_names(client, feature_names(settings))
    if plan.kafka:
        demo_live.run(settings, sources, client, tally, show)
    else:
        asyncio.run(demo.run(settings, sources, AnalyticsSink(client), tally, show))


@contextmanager
def _shown(console: Console, tally: Tally, expected: int | None) -> Iterator[Callable[[], None]]:
    """Yield what draws the run's progress, a few times a second at most and on a terminal only."""
    if not console.is_terminal:
        yield lambda: None
        return
    drawn = 0.0
    with Live(console=console, auto_refresh=False, transient=False) as live:

        def show() -> None:
            nonlocal drawn
            if monotonic() - drawn >= FRAME_SECONDS:
                drawn = monotonic()
                live.update(progress(tally, expected), refresh=True)

        yield show
        live.update(progress(tally, expected), refresh=True)


def _serve(settings: Settings, console: Console, tally: Tally) -> None:
    port = settings.port if settings.port and is_free(settings.port) else free_port()
    console.print(to_try(f"http://{settings.host}:{port}", _sample(tally)))
    serve_api(settings, settings.host, port)


def _sample(tally: Tally) -> Mapping[str, str]:
    about = tally.newest[0] if tally.newest else tally.score
    found = {"event_id": about.event_id, "user": about.user} if about else {"event_id": "tx-1", "user": "c-1"}
    if ranked := tally.offers.newest:
        found["ranking"] = ranked[0].user
    if recommended := tally.recommendations.newest:
        found["recommended"] = recommended[0].user
    return found


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        Console(stderr=True).print("ended")
        raise typer.Exit(INTERRUPTED) from None
