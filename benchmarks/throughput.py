"""The field of the throughput contest: headrace, its peers, and headrace's own full path."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from redis import Redis

from benchmarks.broker import Broker
from benchmarks.contest import Contestant, Report, Run, measure, pace_by_own_report
from benchmarks.full_path import FULL_PATH
from benchmarks.headrace_reference import between
from schemas.topics import DEAD_LETTERS, JOURNAL
from streams.services.own import own_services
from streams.services.supervisor import Part

EVENTS = 200_000


def peer(name: str) -> Callable[[Run], Sequence[str]]:
    """Return the command of a module of `benchmarks.peers`."""
    return lambda run: [sys.executable, "-m", f"benchmarks.peers.{name}", *_where(run)]


def headrace_command(run: Run) -> Sequence[str]:
    """Return the command of headrace on the reference work, having made the topics that a worker wants."""
    with Broker(run.kafka) as broker, Redis.from_url(run.redis) as client:
        for topic in (between(run.output), JOURNAL.name, DEAD_LETTERS.name):
            broker.recreate(topic)
        client.flushall()
    return [sys.executable, "-m", "benchmarks.headrace_reference", *_where(run), "--redis", run.redis]


def _where(run: Run) -> list[str]:
    return ["--kafka", run.kafka, "--input", run.input, "--output", run.output, "--events", str(run.events)]


FIELD = (
    Contestant("headrace", headrace_command),
    Contestant("stock_faust", peer("stock_faust"), most_events=10_000),
    Contestant("quix", peer("quix"), most_events=60_000, needs="quixstreams"),
    Contestant("bytewax", peer("bytewax_flow"), needs="bytewax"),
    Contestant("bare_loop", peer("bare_loop"), pace=pace_by_own_report),
    FULL_PATH,
)


def throughput(
    only: Sequence[str] = (), *, events: int = EVENTS, repeats: int = 1, report: Report = lambda _name, _pace: None
) -> dict[str, float]:
    """Return events/s of each contestant, or of those named, on a Kafka broker and a Redis started for it.

    Raises RuntimeError for an unknown name, ModuleNotFoundError for a peer that is not installed.
    """
    chosen = chosen_of(only)
    with own_services(Part.KAFKA, Part.REDIS) as (_, addresses):
        kafka, redis = addresses[Part.KAFKA], addresses[Part.REDIS]
        return measure(chosen, kafka, redis, events=events, repeats=repeats, report=report)


def chosen_of(only: Sequence[str]) -> list[Contestant]:
    """Return those named, all for no name. Raises as `throughput` does."""
    if unknown := set(only) - {each.name for each in FIELD}:
        known = ", ".join(each.name for each in FIELD)
        raise RuntimeError(f"no contestant {', '.join(sorted(unknown))}: there are {known}")
    chosen = [each for each in FIELD if not only or each.name in only]
    for each in chosen:
        if each.needs is not None and find_spec(each.needs) is None:
            raise ModuleNotFoundError(f"{each.name} needs {each.needs}", name=each.needs)
    return chosen
