"""Events per second of the two-hop reference work, contestant after contestant on one broker.

Each run has fresh topics of four partitions. The first tenth of the events is sent before the contestant starts; once
all their results are out, the contestant is held by SIGSTOP while the rest is sent, and the clock runs from SIGCONT
until the last result is in the output topic. So neither start-up nor the sender counts, nor can a contestant run its
first hop ahead of the clock. Results are counted from end offsets, and then read back and checked: every event must
have one, with the customer features that the reference function gives it, to the bit.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from benchmarks.broker import Broker
from benchmarks.process import Process, running
from benchmarks.reference import State, customer_step, parse
from benchmarks.transactions import Message, transactions

START_SECONDS = 120.0
RUN_SECONDS = 600.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Run:
    """One contestant's turn: its topics on the broker at ``HOST:PORT``, and how many events will come.

    ``redis`` is the URL of a Redis for whoever keeps something there; it may be emptied.
    """

    kafka: str
    redis: str
    input: str
    output: str
    events: int


Check = Callable[[Sequence[Message], Iterable[bytes]], None]
Pace = Callable[["Contestant", Run, Broker, Sequence[Message]], float]
Report = Callable[[str, float], None]


def no_environment(_: Run) -> Mapping[str, str]:
    """Return no further environment variables."""
    return {}


@dataclass(frozen=True)
class Contestant:
    """Who runs.

    ``command`` and ``environment`` are asked for once the run's topics exist, so they may prepare what the process
    needs. ``most_events`` keeps a slow one's runs short, ``least_events`` lets one come to speed. ``input_topic`` and
    ``output_topic`` are for who cannot be told their names: such topics are deleted and created again for each run.
    ``check`` raises RuntimeError on wrong results. ``pace`` runs it and returns events/s. ``needs`` is the package it
    comes from.
    """

    name: str
    command: Callable[[Run], Sequence[str]]
    environment: Callable[[Run], Mapping[str, str]] = no_environment
    most_events: int | None = None
    least_events: int = 0
    input_topic: str | None = None
    output_topic: str | None = None
    check: Check = field(default_factory=lambda: check_reference_results)
    pace: Pace = field(default_factory=lambda: pace_of_results)
    needs: str | None = None


def measure(
    contestants: Sequence[Contestant],
    kafka: str,
    redis: str,
    *,
    events: int,
    repeats: int,
    report: Report = lambda _name, _pace: None,
) -> dict[str, float]:
    """Return each contestant's median events/s. ``report`` hears of every single run.

    Repeats go round the whole field, so that a slow minute of the machine does not fall on one contestant. Raises
    RuntimeError when a process dies, a deadline passes, or results are missing.
    """
    messages = transactions(max(events, *(each.least_events for each in contestants)))
    paces: dict[str, list[float]] = defaultdict(list)
    with Broker(kafka) as broker:
        for _ in range(repeats):
            for contestant in contestants:
                pace = take_turn(contestant, broker, redis, messages[: share(contestant, events)])
                paces[contestant.name].append(pace)
                report(contestant.name, pace)
    return {name: round(statistics.median(each), 1) for name, each in paces.items()}


def share(contestant: Contestant, events: int) -> int:
    """Return how many of so many events a contestant runs."""
    return max(contestant.least_events, min(events, contestant.most_events or events))


def take_turn(contestant: Contestant, broker: Broker, redis: str, messages: Sequence[Message]) -> float:
    """Return the events/s of one run, on topics that are deleted after it."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    run = Run(
        broker.address,
        redis,
        contestant.input_topic or f"{prefix}-in",
        contestant.output_topic or f"{prefix}-out",
        len(messages),
    )
    try:
        for topic in (run.input, run.output):
            broker.recreate(topic)
        return contestant.pace(contestant, run, broker, messages)
    finally:
        broker.clear(prefix)


def pace_of_results(contestant: Contestant, run: Run, broker: Broker, messages: Sequence[Message]) -> float:
    """Return the events/s at which the results after the first tenth reached the output topic."""
    warm = len(messages) // 10
    broker.fill(run.input, messages[:warm])
    with running(contestant.command(run), contestant.environment(run)) as process:
        await_results(process, broker, run.output, warm, START_SECONDS)
        with process.paused():
            broker.fill(run.input, messages[warm:])
            started = time.perf_counter()
        await_results(process, broker, run.output, len(messages), RUN_SECONDS)
        took = time.perf_counter() - started
    contestant.check(messages, broker.read(run.output))
    return (len(messages) - warm) / took


def await_results(process: Process, broker: Broker, topic: str, results: int, seconds: float) -> None:
    """Return once the topic has so many records. Raises RuntimeError when the process ends or time is up."""
    deadline = time.monotonic() + seconds
    while (found := broker.count(topic)) < results:
        process.check_alive()
        if time.monotonic() > deadline:
            raise RuntimeError(f"{topic} has {found} of {results} results after {seconds:.0f} s")
        time.sleep(POLL_SECONDS)


def check_every_event_has_a_result(messages: Sequence[Message], results: Iterable[bytes]) -> None:
    """Raise RuntimeError unless the ``event_id`` of every message is among the results."""
    found = {parse(result)["event_id"] for result in results}
    missing = sum(parse(message)["event_id"] not in found for _, message in messages)
    if missing:
        raise RuntimeError(f"{missing} of {len(messages)} events are without a result")


def check_reference_results(messages: Sequence[Message], results: Iterable[bytes]) -> None:
    """Raise RuntimeError unless every message has a result with the reference's customer features.

    Terminal features and scores depend on how two customers' events interleave, so they are not compared.
    """
    found = {result["event_id"]: result["features"] for result in map(parse, results)}
    customers: dict[str, State] = {}
    wrong = 0
    for _, message in messages:
        event = parse(message)
        customers[event["user"]], enriched = customer_step(customers.get(event["user"]), event)
        expected = enriched["features"]
        wrong += found.get(event["event_id"], [])[: len(expected)] != expected
    if wrong:
        raise RuntimeError(f"{wrong} of {len(messages)} events are without their reference result")


def pace_by_own_report(contestant: Contestant, run: Run, broker: Broker, messages: Sequence[Message]) -> float:
    """Return the ``events_per_second`` that the process prints, for who has no results in a topic."""
    broker.fill(run.input, messages)
    with running(contestant.command(run), contestant.environment(run)) as process:
        return float(orjson.loads(process.output(RUN_SECONDS))["events_per_second"])
