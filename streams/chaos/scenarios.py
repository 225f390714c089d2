"""The scenarios by name: which fault meets which stream."""

from collections.abc import Callable
from dataclasses import dataclass

from streams.chaos import analysts, faults, outages, recordings
from streams.chaos.drill import Drill
from streams.chaos.recordings import Recording
from streams.services.supervisor import Part


@dataclass(frozen=True)
class Scenario:
    """A fault, in words and as code, and the stream it meets.

    `fences`: somebody must be fenced in one of its drills at least. `forgetful`: all is read again afterwards.
    """

    name: str
    about: str
    fault: Callable[[Drill], None]
    recording: Recording = recordings.unchanged
    fences: bool = False
    forgetful: bool = False


_ALL = (
    Scenario("kill-worker", "a worker dies at a step of the protocol, its successor at any moment", faults.kill_worker),
    Scenario("terminate", "a worker is told to end under load, and another follows", faults.terminate),
    Scenario("zombie", "a busy worker stands still until another has taken over", faults.zombie, fences=True),
    Scenario("rebalance", "one worker, three, one: the first is killed, another ended", faults.rebalance),
    Scenario("redis-kill", "SIGKILL of Redis, started again on what it left", outages.dies(Part.REDIS)),
    Scenario("redis-restart", "Redis is ended and started again", outages.restarts(Part.REDIS)),
    Scenario("redis-full", "Redis has no memory left for a while", outages.redis_full),
    Scenario("redis-flush", "FLUSHALL under load, and a rebuild", outages.redis_flush, forgetful=True),
    Scenario("broker-kill", "SIGKILL of the broker, started again on what it left", outages.dies(Part.KAFKA)),
    Scenario("broker-restart", "the broker is ended and started again", outages.restarts(Part.KAFKA)),
    Scenario("clickhouse-away", "SIGKILL of ClickHouse and of the sink; both come back", analysts.clickhouse_away),
    Scenario("disk-full", "the file of Redis cannot grow for a while", outages.disk_full),
    Scenario("upgrade", "workers with other models, thresholds and batches take over old states", faults.upgrade),
    Scenario("poison", "one message in twenty cannot be read, one kills workers", faults.poison, recordings.deadly),
    Scenario("duplicates", "three events in ten come twice; SIGKILL", faults.kill_once, recordings.with_duplicates),
    Scenario("disorder", "events come out of order; SIGKILL", faults.kill_once, recordings.out_of_order),
    Scenario("late-labels", "labels come late and contradict; SIGKILL", faults.kill_once, recordings.with_late_labels),
    Scenario("catch-up", "a whole log at once, days behind; SIGKILL", faults.catch_up, recordings.with_late_labels),
    Scenario("network-cut", "no bytes, then no answers, from Redis and from Kafka", outages.network_cut),
    Scenario("slow-link", "20 ms more each way to Redis and to Kafka; SIGKILL", outages.slow_link),
    Scenario("soak", "workers, Redis and broker die and are ended, one after another, by chance", outages.soak),
    Scenario("clock-skew", "workers a day ahead and a day behind; SIGKILL", faults.clock_skew),
)

SCENARIOS = {each.name: each for each in _ALL}
"""All of them, by name."""
