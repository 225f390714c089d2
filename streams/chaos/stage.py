"""The stage of drills: a broker and a Redis of their own, with fresh topics for each drill."""

import os
import resource
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

from confluent_kafka.admin import AdminClient

from schemas.records import AnyTopic
from streams.chaos.evidence import Kept
from streams.services.kafka import OWN_PROPERTIES
from streams.services.own import own_services
from streams.services.ports import free_port
from streams.services.process import birth_of
from streams.services.supervisor import Part, down, status, up
from streams.topic_admin import renew_topics

SECONDS = 30.0
SHORTEST_SESSION = "group.min.session.timeout.ms=1000\n"
POLL_SECONDS = 0.05


class Detour(NamedTuple):
    """A second listener of the broker, at port `inner`, which tells its clients to come by port `outer`.

    Kafka's clients go where the broker tells them to. Nobody listens there but a proxy, while there is one.
    """

    inner: int
    outer: int

    def properties(self) -> str:
        """Return what the broker has to be told."""
        return (
            f"listeners=PLAINTEXT://127.0.0.1:{{port}},DETOUR://127.0.0.1:{self.inner},"
            "CONTROLLER://127.0.0.1:{controller}\n"
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},DETOUR://127.0.0.1:{self.outer}\n"
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
        )


@dataclass(frozen=True)
class Stage:
    """Services that nobody else uses, as processes of one folder."""

    folder: Path
    kafka: str
    redis: str
    detour: Detour

    def up(self, part: Part) -> None:
        """Start a service again, with its data and at its address. Raises ServiceFailed."""
        up(self.folder, (part,))

    def start(self, part: Part) -> str:
        """Start a service that drills do not always have, and return where it is reached. Raises ServiceFailed."""
        return str(getattr(up(self.folder, (part,)), part))

    def down(self, part: Part) -> None:
        """End a service in order."""
        down(self.folder, (part,))

    @contextmanager
    def full(self, part: Part, left: int) -> Iterator[None]:
        """Let no file of a service become longer than its longest is now, but for some bytes. Linux only.

        The service must take it for an error, as one that Python has started does: SIGXFSZ is ignored there.
        """
        pid = self._pid(part)
        longest = max(path.stat().st_size for path in (self.folder / part).rglob("*") if path.is_file())
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (longest + left, most))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))

    def kill(self, part: Part) -> None:
        """End a service without a word."""
        pid = self._pid(part)
        os.kill(pid, signal.SIGKILL)
        while birth_of(pid) is not None:
            sleep(POLL_SECONDS)

    def forget(self, group: str, topics: Sequence[AnyTopic]) -> None:
        """Delete a group without members and make topics anew; empty Redis."""
        admin = AdminClient({"bootstrap.servers": self.kafka, "log_level": 0})
        deadline = monotonic() + SECONDS
        while members(admin, group) and monotonic() < deadline:
            sleep(POLL_SECONDS)
        admin.delete_consumer_groups([group])[group].result(SECONDS)
        renew_topics(self.kafka, topics)
        with Kept(self.redis) as kept:
            kept.client.flushall()

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Begin with empty topics and an empty Redis; both services run again when the block is left."""
        self._clear()
        try:
            yield
        finally:
            up(self.folder, (Part.KAFKA, Part.REDIS))

    def _pid(self, part: Part) -> int:
        pid = status(self.folder)[part].pid
        if pid is None:
            raise RuntimeError(f"{part} does not run")
        return pid

    def _clear(self) -> None:
        with Kept(self.redis) as kept:
            kept.client.config_set("maxmemory", 0)
            kept.client.flushall()
        renew_topics(self.kafka)


@contextmanager
def own_stage() -> Iterator[Stage]:
    """Start fresh services; end them, and delete their data, when the block is left. Raises ServiceFailed."""
    with own_services() as (folder, _):
        inner = free_port()
        detour = Detour(inner, free_port(avoid=inner))
        (folder / Part.KAFKA).mkdir()
        (folder / Part.KAFKA / OWN_PROPERTIES).write_text(detour.properties() + SHORTEST_SESSION)
        found = up(folder, (Part.KAFKA, Part.REDIS))
        yield Stage(folder, found.kafka or "", found.redis or "", detour)


def members(admin: AdminClient, group: str) -> int:
    """Return how many members a group has by what the broker knows; one that was killed is one for a while."""
    return len(admin.describe_consumer_groups([group])[group].result(SECONDS).members)
