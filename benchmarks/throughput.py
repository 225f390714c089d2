"""The field of the throughput contest: headrace, its peers, and headrace's own full path."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from redis import Redis

from benchmarks.broker import Broker
from benchmarks.contest import Contestant, Report, Run, measure, pace_by_own_report
from benchmarks.full_path import full_path
from benchmarks.headrace_reference import between
from benchmarks.services import own_services
from schemas.topics import DEAD_LETTERS, JOURNAL
from streams.services.supervisor import Part

EVENTS = 200_000


def field(redis: str) -> tuple[Contestant, ...]:
    """Return who takes part; headrace keeps its state in the Redis at this URL, which is emptied before each run."""
    return (
        Contestant("headrace", headrace_command(redis)),
        Contestant("stock_faust", peer("stock_faust"), most_events=10_000),
        Contestant("quix", peer("quix"), most_events=60_000),
        Contestant("bytewax", peer("bytewax_flow")),
        Contestant("bare_loop", peer("bare_loop"), pace=pace_by_own_report),
        full_path(redis),
    )


def peer(name: str) -> Callable[[Run], Sequence[str]]:
    """Return the command of a module of `benchmarks.peers`."""
    return lambda run: [sys.executable, "-m", f"benchmarks.peers.{name}", *_where(run)]


def headrace_command(redis: str) -> Callable[[Run], Sequence[str]]:
    """Return the command of headrace on the reference work; it creates the topics that a worker wants."""

    def command(run: Run) -> Sequence[str]:
        with Broker(run.kafka) as broker, Redis.from_url(redis) as client:
            for topic in (between(run.output), JOURNAL.name, DEAD_LETTERS.name):
                broker.recreate(topic)
            client.flushall()
        return [sys.executable, "-m", "benchmarks.headrace_reference", *_where(run), "--redis", redis]

    return command


def _where(run: Run) -> list[str]:
    return ["--kafka", run.kafka, "--input", run.input, "--output", run.output, "--events", str(run.events)]


def throughput(
    only: Sequence[str] = (), *, events: int = EVENTS, repeats: int = 1, report: Report = lambda _name, _pace: None
) -> dict[str, float]:
    """Return events/s of each contestant, or of those named, on a Kafka broker and a Redis started for it."""
    with own_services(Part.KAFKA, Part.REDIS) as addresses:
        chosen = [each for each in field(addresses[Part.REDIS]) if not only or each.name in only]
        return measure(chosen, addresses[Part.KAFKA], events=events, repeats=repeats, report=report)
