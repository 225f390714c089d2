"""A broker and a Redis of a benchmark's own, the workers on them, and what was asked of them and answered."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import orjson

from benchmarks.broker import Broker
from benchmarks.contest import RUN_SECONDS, Run, await_results
from benchmarks.full_path import prepared
from benchmarks.latency import Due, await_silence
from benchmarks.process import Process, running
from schemas.topics import FEEDBACK, SCORES, TRANSACTIONS
from streams.services.own import own_services
from streams.services.ports import free_port
from streams.services.supervisor import Part

WORKER = (sys.executable, "-m", "streams", "worker")
START_SECONDS = 120.0
POLL_SECONDS = 0.1
WAITING = "headrace_lane_waiting"


@dataclass(frozen=True)
class Worker:
    """A worker's process, and the port at which it tells what it counts."""

    process: Process
    port: int

    def counted(self, metric: str) -> list[float]:
        """Return what it has counted for each of its lanes; nothing while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return []
        return [float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{metric}{{")]


@dataclass(frozen=True)
class Site:
    """Services, and the settings of workers on them; topics and Redis are empty at first."""

    broker: Broker
    redis: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def cleared(self, **settings: str) -> Site:
        """Empty topics and Redis; return the site with the settings of workers that begin there."""
        run = Run(self.broker.address, self.redis, TRANSACTIONS.name, SCORES.name, 0)
        found = dict(prepared(run)) | {f"HEADRACE_{name.upper()}": value for name, value in settings.items()}
        for topic in (TRANSACTIONS, SCORES, FEEDBACK):
            self.broker.recreate(topic.name)
        return Site(self.broker, self.redis, found)

    @contextmanager
    def workers(self, count: int = 1) -> Iterator[Sequence[Worker]]:
        """Run so many workers, from when each of them has lanes; they are stopped when the block is left."""
        with ExitStack() as stack:
            found = [stack.enter_context(self.worker()) for _ in range(count)]
            deadline = time.monotonic() + START_SECONDS
            while not all(each.counted(WAITING) for each in found):
                for each in found:
                    each.process.check_alive()
                if time.monotonic() > deadline:
                    raise RuntimeError(f"not all of {count} workers have lanes after {START_SECONDS:.0f} s")
                time.sleep(POLL_SECONDS)
            yield found

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        """Run a worker, and stop it when the block is left."""
        port = free_port()
        with running(WORKER, {**self.settings, "HEADRACE_METRICS_PORT": str(port)}) as process:
            yield Worker(process, port)

    def fill(self, due: Sequence[Due]) -> None:
        """Publish all at once, the feedback first."""
        self.broker.fill(FEEDBACK.name, [each for one in due for each in one.feedback])
        self.broker.fill(TRANSACTIONS.name, [one.transaction for one in due])

    def warmed(self, worker: Worker, due: Sequence[Due]) -> None:
        """Return once a worker has scored these, and learned what there is to learn."""
        before = self.scored()
        self.fill(due)
        self.await_scores(worker, before + len(due))
        await_silence(self.broker)

    def await_scores(self, worker: Worker, count: int) -> None:
        """Return once so many scores were given in all. Raises RuntimeError when the worker ends, or time is up."""
        await_results(worker.process, self.broker, SCORES.name, count, RUN_SECONDS)

    def scored(self) -> int:
        """Return how many scores were given in all."""
        return self.broker.count(SCORES.name)

    def score_ids(self) -> list[str]:
        """Return the event of every score that was given, in no order."""
        return [orjson.loads(score)["event_id"] for score in self.broker.read(SCORES.name)]

    def pace(self, workers: Sequence[Worker], due: Sequence[Due]) -> float:
        """Return the payments/s at which a backlog of these is scored."""
        before = self.scored()
        with ExitStack() as stack:
            for each in workers:
                stack.enter_context(each.process.paused())
            self.fill(due)
            started = time.perf_counter()
        self.await_scores(workers[0], before + len(due))
        return len(due) / (time.perf_counter() - started)


@contextmanager
def own_site() -> Iterator[Site]:
    """Start services; end them when the block is left."""
    with own_services(Part.KAFKA, Part.REDIS) as (_, addresses), Broker(addresses[Part.KAFKA]) as broker:
        yield Site(broker, addresses[Part.REDIS])
