"""`headrace bench`: figures of headrace beside those of its peers, measured on this machine."""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from streams.evaluation import Protocol
from streams.services.errors import ServiceFailed

commands = typer.Typer(
    help="Measure headrace beside its peers, on this machine. Needs a checkout.", no_args_is_help=True
)

Figures = Mapping[str, Any]
Tell = Callable[[str], None]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Only = Annotated[list[str] | None, typer.Option(help="Only this contestant; may be given again.")]
TestFrom = Annotated[datetime, typer.Option(help="The first day judged (UTC).", formats=["%Y-%m-%d"])]


@commands.command("throughput")
def throughput_command(
    only: Only = None,
    events: Annotated[int, typer.Option(help="How many; slow contestants get fewer.", min=1_000)] = 200_000,
    repeats: Annotated[int, typer.Option(help="Rounds, of which the median counts.", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """Events/s over two hops: headrace, stock Faust, Quix, Bytewax and a bare loop; and headrace's full path."""
    _show("events/s", lambda tell: throughput(tell, only or [], events, repeats), as_json)


def throughput(tell: Tell, only: list[str] | None = None, events: int = 200_000, repeats: int = 1) -> Figures:
    """Return events/s by contestant."""
    from benchmarks.throughput import throughput

    tell("Kafka and Redis")
    return throughput(only or (), events=events, repeats=repeats, report=lambda name, pace: tell(f"{name} {pace:,.0f}"))


@commands.command("latency")
def latency_command(
    rate: Annotated[int, typer.Option(help="Transactions a second.", min=1)] = 2_000,
    seconds: Annotated[int, typer.Option(help="For how long.", min=1)] = 30,
    as_json: AsJson = False,
) -> None:
    """Milliseconds from the intended time of sending until a score can be read, beside a bare relay's."""
    _show("milliseconds", lambda tell: latency(tell, rate, seconds), as_json)


def latency(tell: Tell, rate: int = 2_000, seconds: int = 30) -> Figures:
    """Return percentiles in milliseconds."""
    from benchmarks.latency import latency

    return latency(rate, seconds, tell)


@commands.command("replay")
def replay_command(
    events: Annotated[int | None, typer.Option(help="How many; all there are.", min=100)] = None,
    stages: Annotated[bool, typer.Option("--stages", help="Each stage's share of the time instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Events/s of the in-process engine on one core, by the default full path."""
    _show("replay", lambda tell: stages_of_replay(tell, events) if stages else replay(tell, events), as_json)


def replay(tell: Tell, events: int | None = None) -> Figures:
    """Return the pace."""
    from benchmarks.replay import replay_pace

    return replay_pace(events, lambda done: tell(f"{done:,} transactions"))


def stages_of_replay(tell: Tell, events: int | None) -> Figures:
    """Return shares of the time."""
    from benchmarks.replay import replay_stages

    return replay_stages(events or 100_000, lambda done: tell(f"{done:,} transactions"))


@commands.command("memory")
def memory_command(
    events: Annotated[int | None, typer.Option(help="How many; all there are.", min=1_000)] = None,
    as_json: AsJson = False,
) -> None:
    """Bytes a customer, a terminal and a waiting payment take, in Redis and in a worker, and how they grow."""
    _show("bytes per key", lambda tell: memory(tell, events), as_json)


def memory(tell: Tell, events: int | None = None) -> Figures:
    """Return bytes per key."""
    from benchmarks.memory import memory

    return memory(events, tell)


@commands.command("api")
def api_command(
    seconds: Annotated[int, typer.Option(help="For how long each route is asked.", min=1)] = 10,
    as_json: AsJson = False,
) -> None:
    """Requests/s and milliseconds of GET /scores/{id}, beside a constant route of the same server."""
    _show("read API", lambda tell: api(tell, seconds), as_json)


def api(tell: Tell, seconds: int = 10) -> Figures:
    """Return requests/s and percentiles in milliseconds."""
    from benchmarks.api import api

    return api(seconds, tell)


@commands.command("drift")
def drift_command(
    seed: Annotated[list[int] | None, typer.Option(help="Another world; may be given again.")] = None,
    as_json: AsJson = False,
) -> None:
    """What learning online is worth when fraud changes: beside its own frozen copy and a nightly LightGBM."""
    _show("simulated worlds", lambda tell: drift(tell, seed), as_json)


def drift(tell: Tell, seeds: list[int] | None = None) -> Figures:
    """Return AUC and average precision by sort of world and learner."""
    from benchmarks.drift import SEEDS, drift

    return drift(seeds or SEEDS, told=tell)


@commands.command("baselines")
def baselines_command(
    test_from: TestFrom = datetime(2018, 7, 25),
    test_days: Annotated[int, typer.Option(help="How many days are judged.", min=1)] = 7,
    by_week: Annotated[bool, typer.Option("--by-week", help="Judge each week, and print the means.")] = False,
    vectors: Annotated[Path | None, typer.Option(help="What `headrace evaluate --vectors` wrote; else made.")] = None,
    as_json: AsJson = False,
) -> None:
    """Quality beside batch logistic regression, random forest, XGBoost and a nightly LightGBM, on the same vectors."""
    protocol = Protocol(test_from, test_days, by_week=by_week)
    _show("the handbook's metrics", lambda tell: baselines(tell, protocol, vectors), as_json)


def baselines(tell: Tell, protocol: Protocol = Protocol(datetime(2018, 7, 25)), vectors: Path | None = None) -> Figures:
    """Return the handbook's metrics by model."""
    from benchmarks.baselines import baselines

    return baselines(protocol, vectors, tell)


ALL: dict[str, Callable[[Tell], Figures]] = {
    "throughput": throughput,
    "latency": latency,
    "replay": replay,
    "memory": memory,
    "api": api,
    "drift": drift,
    "baselines": baselines,
}


@commands.command("all")
def all_command(as_json: AsJson = False) -> None:
    """Every benchmark as it is by default, one after the other; about twenty minutes."""
    found = {name: _measured(name, measure) for name, measure in ALL.items()}
    if as_json:
        typer.echo(orjson.dumps(found))
        return
    for name, figures in found.items():
        Console().print(_table(name, figures))


def _show(title: str, measure: Callable[[Tell], Figures], as_json: bool) -> None:
    figures = _measured(title, measure)
    if as_json:
        typer.echo(orjson.dumps(figures))
    else:
        Console().print(_table(title, figures))


def _measured(title: str, measure: Callable[[Tell], Figures]) -> Figures:
    """Return what is measured, with news on standard error meanwhile."""
    console = Console(stderr=True)
    # What a benchmark has started is ended by SIGTERM too.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with _told_plainly(console), console.status(title) as status:
            return measure(lambda news: status.update(f"{title}: {news}"))
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _told_plainly(console: Console) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as missing:
        absent = (missing.name or "").partition(".")[0]
        why = "benchmarks/ is not part of the package: run this in a checkout of headrace, by `uv run headrace bench`"
        if absent != "benchmarks":
            why = f"{absent} is not installed: `uv sync --all-groups` installs the peers"
        _fail(console, why, missing)
    except (ServiceFailed, RuntimeError) as failure:
        _fail(console, str(failure), failure)


def _fail(console: Console, why: str, cause: Exception) -> None:
    console.print(why, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(1) from cause


def _table(title: str, figures: Figures) -> Table:
    """Return figures as a table: one row each, or one row a contestant where each has figures of its own."""
    if not all(isinstance(each, Mapping) for each in figures.values()):
        table = Table("", "", title=title, show_header=False)
        for name, figure in figures.items():
            table.add_row(name, _told(figure))
        return table
    columns = list(dict.fromkeys(name for each in figures.values() for name in each))
    table = Table("", *columns, title=title)
    for name, each in figures.items():
        table.add_row(name, *(_told(each.get(column, "")) for column in columns))
    return table


def _told(figure: object) -> str:
    if isinstance(figure, float) and abs(figure) < 1_000:
        return f"{figure:.3f}"
    return f"{figure:,.0f}" if isinstance(figure, int | float) else str(figure)
