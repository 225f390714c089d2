"""Faults of services: ended, killed, emptied, full, or behind a bad link."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import sleep

from schemas.records import AnyTopic
from schemas.topics import DEAD_LETTERS, JOURNAL
from streams.assembly import fraud_pipeline
from streams.chaos.crew import Member
from streams.chaos.drill import Drill
from streams.chaos.proxy import Link, Proxy, proxied
from streams.chaos.stage import Stage
from streams.pipeline import Pipeline
from streams.services.supervisor import Part
from streams.watchdog import BROKEN

REFUSED = 1
RECORDS_A_ROUND = 250
MEMORY_LEFT = 64 * 1024
DISK_LEFT = 64 * 1024


def restarts(part: Part) -> Callable[[Drill], None]:
    """Return the fault that ends a service in order and starts it again a while later."""
    return _outage(Stage.down, part)


def dies(part: Part) -> Callable[[Drill], None]:
    """Return the fault that kills a service and starts it again a while later, on what it left."""
    return _outage(Stage.kill, part)


def _outage(ends: Callable[[Stage, Part], None], part: Part) -> Callable[[Drill], None]:
    def fault(drill: Drill) -> None:
        drill.begin()
        drill.under_load()
        _away(ends, part)(drill)
        drill.moves_on()

    return fault


def _away(ends: Callable[[Stage, Part], None], part: Part) -> Callable[[Drill], None]:
    def fault(drill: Drill) -> None:
        ends(drill.stage, part)
        sleep(drill.chance.uniform(0.5, 4))
        drill.stage.up(part)

    return fault


def redis_full(drill: Drill) -> None:
    """Leave Redis no memory for a while."""
    drill.begin()
    drill.under_load()
    client = drill.kept.client
    client.config_set("maxmemory", client.info("memory")["used_memory"] + MEMORY_LEFT)
    sleep(drill.chance.uniform(1, 4))
    client.config_set("maxmemory", 0)
    drill.moves_on()


def disk_full(drill: Drill) -> None:
    """Let Redis write no more to its file for a while; a worker that starts meanwhile has to wait too."""
    drill.publishing.allowed = 0.6
    doomed = drill.begin()
    drill.under_load()
    with drill.stage.full(Part.REDIS, DISK_LEFT):
        drill.publishing.allowed = 1.0
        drill.until(lambda: _refuses(drill), "Redis goes on writing to a full disk")
        drill.crew.kill(doomed)
        drill.crew.start()
        sleep(drill.chance.uniform(2, 6))
    drill.until(lambda: not _refuses(drill), "Redis does not write again")
    drill.moves_on()


def _refuses(drill: Drill) -> bool:
    return bool(drill.kept.client.info("persistence")["aof_last_write_status"] != "ok")


def redis_flush(drill: Drill) -> None:
    """Delete everything Redis has, under load: no worker may go on from nothing. Then rebuild, as it is told."""
    worker = drill.begin()
    drill.under_load()
    worker.dismissed = True
    drill.kept.client.flushall()
    drill.until(lambda: not worker.running, "a worker goes on with a Redis that was emptied")
    refused = drill.crew.start()
    refused.dismissed = True
    drill.until(lambda: not refused.running, "a worker starts with a Redis that was emptied")
    for member, status in ((worker, BROKEN), (refused, REFUSED)):
        if member.process.returncode != status:
            drill.broken.append(f"a worker ended with {member.process.returncode}, not with {status}")
    drill.stage.forget(drill.settings.group, rebuilt(fraud_pipeline(drill.settings)))
    drill.crew.start()
    drill.moves_on()


def rebuilt(pipeline: Pipeline) -> list[AnyTopic]:
    """Return the topics that are made again when everything is read again."""
    return [*pipeline.outputs, DEAD_LETTERS, JOURNAL]


def network_cut(drill: Drill) -> None:
    """Cut the links of the worker, to Redis and to Kafka: each whole, and then so that answers alone are lost."""
    with _links(drill) as links:
        cuts = [(proxy, link) for proxy in (links.redis, links.kafka) for link in (Link.CUT, Link.DEAF)]
        share = 1 / (len(cuts) + 1)
        drill.publishing.allowed = share
        drill.begin(redis=links.redis_url, kafka=links.bootstrap)
        for number, (proxy, link) in enumerate(cuts, 2):
            drill.under_load()
            proxy.link = link
            sleep(drill.chance.uniform(2, 7))
            proxy.mend()
            drill.publishing.allowed = number * share
            drill.moves_on()
        drill.finish()


def slow_link(drill: Drill) -> None:
    """Delay all that a worker asks and is answered by 20 ms in each direction, and kill it meanwhile."""
    with _links(drill) as links:
        links.redis.link = links.kafka.link = Link.SLOW
        doomed = drill.begin(redis=links.redis_url, kafka=links.bootstrap)
        drill.under_load()
        drill.crew.kill(doomed)
        drill.crew.start(redis=links.redis_url, kafka=links.bootstrap)
        drill.moves_on()
        drill.finish()


@dataclass(frozen=True)
class _Links:
    redis: Proxy
    kafka: Proxy

    @property
    def redis_url(self) -> str:
        return f"redis://127.0.0.1:{self.redis.port}/0"

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.kafka.port}"


@contextmanager
def _links(drill: Drill) -> Iterator[_Links]:
    detour = drill.stage.detour
    with proxied(_port(drill.stage.redis)) as redis, proxied(detour.inner, detour.outer) as kafka:
        yield _Links(redis, kafka)


def soak(drill: Drill) -> None:
    """Let one fault follow another, drawn by chance, while a single stream lasts: one for each 250 records.

    No fault of its own meets one worker. What the one that lives longest takes of the machine must not grow for ever.
    """
    rounds = max(2, drill.publishing.total // RECORDS_A_ROUND)
    drill.publishing.allowed = 1 / rounds
    witness = drill.begin()
    drill.crew.start()
    for number in range(1, rounds):
        drill.publishing.allowed = (number + 1) / rounds
        drill.under_load()
        drill.chance.choice(_faults(witness))(drill)
        drill.moves_on()
    drill.finish()
    drill.judge_footprint()


def _faults(witness: Member) -> tuple[Callable[[Drill], None], ...]:
    services = (_away(ends, part) for ends in (Stage.down, Stage.kill) for part in (Part.KAFKA, Part.REDIS))
    return (_replace_another(witness), *services)


def _replace_another(witness: Member) -> Callable[[Drill], None]:
    def fault(drill: Drill) -> None:
        for member in drill.crew.running:
            if member is not witness:
                drill.crew.kill(member)
        drill.crew.start()

    return fault


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].removesuffix("/0"))
