"""`headrace bench`: figures of headrace beside those of its peers, measured on this machine."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from streams.bench_screen import Figures, Tell, measured, table
from streams.evaluation import Protocol

commands = typer.Typer(
    help="Measure headrace beside its peers, on this machine. Needs a checkout.", no_args_is_help=True
)

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
    return throughput(only or (), events=events, repeats=repeats, report=tell.done)


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


@commands.command("load")
def load_command(
    seconds: Annotated[int, typer.Option(help="For how long each rate is sent.", min=1)] = 15,
    rates: Annotated[list[int] | None, typer.Option(help="Only this rate; may be given again.", min=1)] = None,
    keys: Annotated[list[int] | None, typer.Option(help="So many customers; may be given again.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """The highest rate one worker holds, ten times of it, a second worker, and more customers."""
    _show("load", lambda tell: load(tell, seconds, rates, keys), as_json)


def load(tell: Tell, seconds: int = 15, rates: list[int] | None = None, keys: list[int] | None = None) -> Figures:
    """Return figures by part."""
    from benchmarks.load import KEYS, Plan, load

    return load(Plan(seconds, rates or (), keys or KEYS), tell)


@commands.command("takeover")
def takeover_command(
    keys: Annotated[int, typer.Option(help="Customers whose states are in Redis.", min=1)] = 1_000_000,
    waiting: Annotated[int, typer.Option(help="Payments that wait for their label.", min=0)] = 350_000,
    as_json: AsJson = False,
) -> None:
    """Seconds until a worker scores again that takes over from one that was killed."""
    _show("take-over", lambda tell: takeover(tell, keys, waiting), as_json)


def takeover(tell: Tell, keys: int = 1_000_000, waiting: int = 350_000) -> Figures:
    """Return seconds, and what Redis and the worker hold."""
    from benchmarks.takeover import takeover

    return takeover(keys, waiting, tell)


@commands.command("soak")
def soak_command(
    minutes: Annotated[float, typer.Option(help="For how long.", min=0.01)] = 10.0,
    rate: Annotated[int, typer.Option(help="Payments a second.", min=1)] = 100,
    as_json: AsJson = False,
) -> None:
    """Memory, descriptors and lag of a worker under a moderate load for minutes."""
    _show("soak", lambda tell: soak(tell, minutes, rate), as_json)


def soak(tell: Tell, minutes: float = 10.0, rate: int = 100) -> Figures:
    """Return where each began and ended, and its growth in the second half."""
    from benchmarks.soak import Soak, soak

    return soak(Soak(minutes, rate), tell)


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


@commands.command("ranking")
def ranking_command(
    requests: Annotated[int, typer.Option(help="How many are answered at 20 candidates.", min=100)] = 3_000,
    rounds: Annotated[int, typer.Option(help="Redemptions over a broker; 0 leaves them out.", min=0)] = 100,
    as_json: AsJson = False,
) -> None:
    """Offers ranked on one core: requests/s, milliseconds a request, and how soon feedback is in a ranking."""
    _show("ranking", lambda tell: ranking(tell, requests, rounds), as_json)


def ranking(tell: Tell, requests: int = 3_000, rounds: int = 100) -> Figures:
    """Return requests/s and percentiles in milliseconds."""
    from benchmarks.ranking import ranking

    return ranking(requests, rounds, tell)


@commands.command("recommendations")
def recommendations_command(
    events: Annotated[int, typer.Option(help="How many are made at each size.", min=10)] = 1_000,
    as_json: AsJson = False,
) -> None:
    """Items recommended on one core: recommendations/s and milliseconds each, by the size of the catalogue."""
    _show("recommendations", lambda tell: recommendations(tell, events), as_json)


def recommendations(tell: Tell, events: int = 1_000) -> Figures:
    """Return recommendations/s and percentiles in milliseconds by size."""
    from benchmarks.recommendations import recommendations

    return recommendations(events=events, told=tell)


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
    "load": load,
    "takeover": takeover,
    "soak": soak,
    "replay": replay,
    "ranking": ranking,
    "recommendations": recommendations,
    "memory": memory,
    "api": api,
    "drift": drift,
    "baselines": baselines,
}


@commands.command("all")
def all_command(as_json: AsJson = False) -> None:
    """Every benchmark as it is by default, one after the other; about forty minutes."""
    found = {name: measured(name, measure) for name, measure in ALL.items()}
    if as_json:
        typer.echo(orjson.dumps(found))
        return
    for name, figures in found.items():
        Console().print(table(name, figures))


def _show(title: str, measure: Callable[[Tell], Figures], as_json: bool) -> None:
    figures = measured(title, measure)
    if as_json:
        typer.echo(orjson.dumps(figures))
    else:
        Console().print(table(title, figures))
