"""Milliseconds from the intended time of sending a transaction until its score can be read in Redis, over both hops.

An open loop: transaction n is due n / rate seconds after the start, whether or not earlier ones have come through, and
what is sent late counts from when it was due. Redis itself tells when a score is there, to a connection of its own. In
turn, on the same services: `headrace worker` with the fraud pipeline, whose model scores and learns; and the bare relay
of two hops, which only re-keys and SETs.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
from confluent_kafka import Producer

from benchmarks.arrivals import Arrivals
from benchmarks.broker import Broker
from benchmarks.contest import RUN_SECONDS, Run, await_results
from benchmarks.full_path import FULL_PATH
from benchmarks.process import running
from benchmarks.transactions import Message, chargebacks, transactions
from schemas.topics import ALL, FEEDBACK, SCORES, TRANSACTIONS
from sinks.serving import score_key
from streams.services.own import own_services
from streams.services.supervisor import Part

WARM_EVENTS = 80_000
RELAY_WARM_EVENTS = 10_000
PATIENCE_SECONDS = 60.0
SILENT_SECONDS = 2.0
SWITCH_SECONDS = 0.0005

Told = Callable[[str], None]
Milliseconds = npt.NDArray[np.float64]


class Due(NamedTuple):
    """What is sent at one moment: a transaction, and the feedback that became known before it."""

    transaction: Message
    feedback: Sequence[Message] = ()


class Stage(NamedTuple):
    """Where and how it is measured: the services, the transactions a second, and how many of them."""

    broker: Broker
    redis: str
    rate: int
    events: int


def latency(rate: int = 2_000, seconds: int = 30, told: Told = lambda _: None) -> dict[str, float]:
    """Return percentiles of headrace's latency and of the bare relay's, in milliseconds."""
    told("Kafka and Redis")
    with own_services(Part.KAFKA, Part.REDIS) as (_, addresses), Broker(addresses[Part.KAFKA]) as broker:
        stage = Stage(broker, addresses[Part.REDIS], rate, rate * seconds)
        told("headrace")
        ours = of_worker(stage)
        told("the bare relay")
        bare = of_relay(stage)
    return percentiles(ours) | {f"bare_{name}": value for name, value in percentiles(bare).items()}


def percentiles(latencies: Milliseconds) -> dict[str, float]:
    """Return the median, the 99th and the 99.9th percentile."""
    p50, p99, p999 = np.percentile(latencies, (50, 99, 99.9)).tolist()
    return {"p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "p999_ms": round(p999, 2)}


def of_worker(stage: Stage) -> Milliseconds:
    """Return the latency of each score of a worker that has scored a week of payments already."""
    run = Run(stage.broker.address, stage.redis, TRANSACTIONS.name, SCORES.name, stage.events)
    messages = transactions(WARM_EVENTS + stage.events)
    ahead, measured = messages[:WARM_EVENTS], messages[WARM_EVENTS:]
    early = chargebacks(ahead)
    environment = FULL_PATH.environment(run)
    for topic in (TRANSACTIONS, SCORES, FEEDBACK):
        stage.broker.recreate(topic.name)
    stage.broker.fill(FEEDBACK.name, early)
    stage.broker.fill(TRANSACTIONS.name, ahead)
    with running(FULL_PATH.command(run), environment) as process:
        await_results(process, stage.broker, SCORES.name, WARM_EVENTS, RUN_SECONDS)
        await_silence(stage.broker)
        due = with_feedback(measured, chargebacks(messages)[len(early) :])
        found = open_loop(stage, TRANSACTIONS.name, due, score_key("default", ""))
        process.check_alive()
    return found


def of_relay(stage: Stage) -> Milliseconds:
    """Return the latency of each transaction through the bare relay."""
    topic = f"bench-{uuid.uuid4().hex[:8]}"
    messages = transactions(RELAY_WARM_EVENTS + stage.events)
    where = ["--kafka", stage.broker.address, "--redis", stage.redis, "--input", topic, "--output", f"{topic}-between"]
    command = [sys.executable, "-m", "benchmarks.peers.bare_latency", *where, "--events", str(len(messages))]
    for name in (topic, f"{topic}-between"):
        stage.broker.recreate(name)
    stage.broker.fill(topic, messages[:RELAY_WARM_EVENTS])
    with running(command, {}) as process:
        await_results(process, stage.broker, f"{topic}-between", RELAY_WARM_EVENTS, RUN_SECONDS)
        return open_loop(stage, topic, map(Due, messages[RELAY_WARM_EVENTS:]), "bare:")


def await_silence(broker: Broker) -> None:
    """Return once no topic has grown for two seconds: what was sent ahead has been learned from too."""
    grown, before = time.monotonic(), -1
    while time.monotonic() < grown + SILENT_SECONDS:
        if (now := sum(broker.count(topic.name) for topic in ALL)) != before:
            grown, before = time.monotonic(), now
        time.sleep(0.1)


def with_feedback(messages: Sequence[Message], feedback: Sequence[Message]) -> Iterator[Due]:
    """Yield each transaction with the feedback before it; both are in time order."""
    waiting = [(orjson.loads(each[1])["event_time"], each) for each in reversed(feedback)]
    for message in messages:
        now = orjson.loads(message[1])["event_time"]
        before = []
        while waiting and waiting[-1][0] <= now:
            before.append(waiting.pop()[1])
        yield Due(message, before)


def open_loop(stage: Stage, topic: str, due: Iterable[Due], prefix: str) -> Milliseconds:
    """Send what is due at the stage's rate; return how late each `<prefix><event id>` was in Redis."""
    ready = list(due)
    ids = [orjson.loads(each.transaction[1])["event_id"] for each in ready]
    with Arrivals(stage.redis, prefix) as arrivals:
        start = send(stage, topic, ready)
        arrivals.wait_for(ids, PATIENCE_SECONDS)
    return np.array([arrivals.at[event_id] - start - n / stage.rate for n, event_id in enumerate(ids)]) * 1_000


def send(stage: Stage, topic: str, ready: Sequence[Due]) -> float:
    """Send all that is ready, each at its time; return when the first was due, by `time.perf_counter`."""
    producer = Producer({"bootstrap.servers": stage.broker.address, "partitioner": "murmur2_random", "linger.ms": 0})
    producer.list_topics(topic, PATIENCE_SECONDS)
    # The sender must not keep the listener from noting the time.
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    start = time.perf_counter()
    for n, each in enumerate(ready):
        time.sleep(max(0.0, start + n / stage.rate - time.perf_counter()))
        for key, value in each.feedback:
            producer.produce(FEEDBACK.name, value, key)
        producer.produce(topic, each.transaction[1], each.transaction[0])
        producer.poll(0)
    producer.flush(PATIENCE_SECONDS)
    sys.setswitchinterval(before)
    return start
