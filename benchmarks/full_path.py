"""headrace's own full path in the contest: `headrace worker` with the fraud pipeline, from transactions to scores.

All features, the default model, and learning from every outcome: chargebacks come a week after their frauds. A third
of the events is sent ahead, so that a model scores for most of the measured time; the check refuses a run in which the
rules did.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import orjson
from redis import Redis

from benchmarks.broker import Broker
from benchmarks.contest import RUN_SECONDS, Contestant, Run, await_results, check_every_event_has_a_result
from benchmarks.process import running
from benchmarks.transactions import Message, chargebacks
from schemas.topics import ALL, FEEDBACK, SCORES, TRANSACTIONS

WARM_SHARE = 3
MODEL_SHARE = 0.5


def prepared(run: Run) -> Mapping[str, str]:
    """Return the settings of a worker that finds empty topics and an empty Redis.

    Input, output and feedback are left as they are.
    """
    with Broker(run.kafka) as broker, Redis.from_url(run.redis) as client:
        for topic in ALL:
            if topic.name not in (run.input, run.output, FEEDBACK.name):
                broker.recreate(topic.name)
        client.flushall()
    settings = {"kafka": run.kafka, "redis": run.redis, "group": f"bench-{time.time_ns()}", "throw_away": "true"}
    settings["pipelines"] = "fraud"
    return {f"HEADRACE_{name.upper()}": value for name, value in settings.items()}


def pace_of_scores(contestant: Contestant, run: Run, broker: Broker, messages: Sequence[Message]) -> float:
    """Return the events/s at which the scores after the first third reached their topic."""
    warm = len(messages) // WARM_SHARE
    early, late = chargebacks(messages[:warm]), chargebacks(messages)
    broker.recreate(FEEDBACK.name)
    broker.fill(FEEDBACK.name, early)
    broker.fill(run.input, messages[:warm])
    with running(contestant.command(run), contestant.environment(run)) as process:
        await_results(process, broker, run.output, warm, RUN_SECONDS)
        with process.paused():
            broker.fill(FEEDBACK.name, late[len(early) :])
            broker.fill(run.input, messages[warm:])
            started = time.perf_counter()
        await_results(process, broker, run.output, len(messages), RUN_SECONDS)
        took = time.perf_counter() - started
    contestant.check(messages, broker.read(run.output))
    return (len(messages) - warm) / took


def check_scores(messages: Sequence[Message], results: Iterable[bytes]) -> None:
    """Raise RuntimeError unless every event has a score, and a model gave most of them."""
    scores = [orjson.loads(result) for result in results]
    check_every_event_has_a_result(messages, [orjson.dumps({"event_id": score["event_id"]}) for score in scores])
    by_model = sum(score["source"] == "model" for score in scores) / len(scores)
    if by_model < MODEL_SHARE:
        raise RuntimeError(f"a model gave only {by_model:.0%} of the scores: send more events")


FULL_PATH = Contestant(
    "headrace_full",
    command=lambda _: [sys.executable, "-m", "streams", "worker"],
    environment=prepared,
    input_topic=TRANSACTIONS.name,
    output_topic=SCORES.name,
    least_events=150_000,
    check=check_scores,
    pace=pace_of_scores,
)
