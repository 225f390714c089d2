"""Faults of workers: killed, ended, held still, joined by others, or told the wrong time."""

import signal
from time import sleep

from schemas.records import DAY
from streams.chaos.drill import Drill
from streams.chaos.hand import HALF_DELIVERED, UNACKNOWLEDGED
from streams.suspicion import ALONE, DEATHS

DEADLY_SECONDS = 360.0
"""Five workers die of a record before it is set aside, and Kafka misses each for the length of a session."""

FAILPOINTS = {"stepped": 20, "committed": 20, HALF_DELIVERED: 20, "produced": 20, UNACKNOWLEDGED: 1}
"""The steps of the protocol at which a worker dies, each at one of so many times that it comes to it for sure."""


def kill_worker(drill: Drill) -> None:
    """Let one worker die at a step of the protocol, and its successor at any moment."""
    drill.publishing.allowed = 0.5
    step, times = list(FAILPOINTS.items())[drill.seed % len(FAILPOINTS)]
    doomed = drill.crew.start(failpoint=f"{step}@{drill.chance.randint(1, times)}")
    drill.until(lambda: not doomed.running, f"no worker has reached {step}")
    drill.crew.replace_ended()
    drill.moves_on()
    drill.publishing.allowed = 1.0
    drill.under_load()
    drill.crew.kill(drill.crew.running[0])
    drill.crew.start()
    drill.moves_on()


def kill_once(drill: Drill) -> None:
    """Kill the worker at any moment, and start another."""
    doomed = drill.begin()
    drill.under_load()
    drill.crew.kill(doomed)
    drill.crew.start()
    drill.moves_on()


def poison(drill: Drill) -> None:
    """Kill the worker once; then let those that follow die of one record until it is set aside."""
    drill.publishing.allowed = 0.7
    kill_once(drill)
    # Who takes over need not start first.
    drill.crew.start()
    drill.publishing.allowed = 1.0
    drill.finish(DEADLY_SECONDS)
    deaths = drill.crew.endings[-signal.SIGKILL]
    if not ALONE < deaths <= 1 + DEATHS + ALONE:
        drill.broken.append(f"{deaths} workers died of one record, not up to {1 + DEATHS + ALONE}")


def terminate(drill: Drill) -> None:
    """Ask a worker to end while it works, and start another."""
    worker = drill.begin()
    drill.under_load()
    drill.dismiss(worker)
    drill.crew.start()
    drill.moves_on()


def upgrade(drill: Drill) -> None:
    """End the workers of one release under load, by SIGKILL at odd seeds, and go on with those of the next."""
    drill.publishing.allowed = 0.6
    old = drill.begin()
    drill.under_load()
    if drill.seed % 2:
        drill.crew.kill(old)
    else:
        drill.dismiss(old)
    drill.upgrade()
    drill.publishing.allowed = 1.0
    drill.crew.start()
    drill.moves_on()


def zombie(drill: Drill) -> None:
    """Hold a busy worker still until another has taken over, then let it go on with what it has at hand."""
    drill.publishing.rush(0.6)
    drill.until(lambda: drill.publishing.share > 0.55, "not all was published")
    # Small batches, so that it has work at hand whenever it is held.
    frozen = drill.crew.start(batch="20")
    begun = drill.chance.randint(5, 40)
    drill.until(lambda: drill.watch.commits > begun, "no worker has come up")
    frozen.signal(signal.SIGSTOP)
    heir = drill.crew.start()
    drill.moves_on()
    drill.until(lambda: drill.crew.has_work(heir), "nobody has taken over")
    drill.publishing.allowed = 1.0
    sleep(drill.chance.uniform(0, 1))
    frozen.signal(signal.SIGCONT)
    sleep(drill.chance.uniform(2, 4))


def rebalance(drill: Drill) -> None:
    """Let two workers join one under load, kill the first, and ask one of the others to end."""
    first = drill.begin()
    drill.under_load()
    drill.publishing.allowed = 0.7
    joined = [drill.crew.start(), drill.crew.start()]
    drill.until(lambda: all(drill.crew.has_work(each) for each in joined), "the others get no partitions")
    drill.publishing.allowed = 1.0
    sleep(drill.chance.uniform(0.2, 1))
    drill.crew.kill(first)
    drill.moves_on()
    sleep(drill.chance.uniform(0, 3))
    drill.dismiss(drill.chance.choice(joined))


def catch_up(drill: Drill) -> None:
    """Begin with a whole log, days behind; kill the worker in the middle of it."""
    drill.publishing.rush(1.0)
    drill.until(lambda: drill.publishing.done, "not all was published")
    doomed = drill.crew.start()
    begun = drill.chance.randint(3, 12)
    drill.until(lambda: drill.watch.commits > begun, "no worker has come up")
    drill.crew.kill(doomed)
    drill.crew.start()
    drill.moves_on()


def clock_skew(drill: Drill) -> None:
    """Run a worker a day ahead beside one a day behind, kill one, and let one of the right time take over."""
    day = DAY // 1000
    drill.crew.start(skew_seconds=-day)
    doomed = drill.begin(skew_seconds=day)
    drill.under_load()
    drill.crew.kill(doomed)
    drill.crew.start()
    drill.moves_on()
