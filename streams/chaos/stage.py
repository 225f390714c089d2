"""The stage of drills: a broker and a Redis of their own, with fresh topics for each drill."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from confluent_kafka.admin import AdminClient

from schemas.records import AnyTopic
from streams.chaos.evidence import Kept
from streams.services.own import own_services
from streams.services.process import birth_of
from streams.services.supervisor import Part, down, status, up
from streams.topic_admin import renew_topics

SECONDS = 30.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Stage:
    """Services that nobody else uses, as processes of one folder."""

    folder: Path
    kafka: str
    redis: str

    def up(self, part: Part) -> None:
        """Start a service again, with its data and at its address. Raises ServiceFailed."""
        up(self.folder, (part,))

    def down(self, part: Part) -> None:
        """End a service in order."""
        down(self.folder, (part,))

    def kill(self, part: Part) -> None:
        """End a service without a word."""
        pid = status(self.folder)[part].pid
        if pid is None:
            raise RuntimeError(f"{part} does not run")
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

    def _clear(self) -> None:
        with Kept(self.redis) as kept:
            kept.client.config_set("maxmemory", 0)
            kept.client.flushall()
        renew_topics(self.kafka)


@contextmanager
def own_stage() -> Iterator[Stage]:
    """Start fresh services; end them, and delete their data, when the block is left. Raises ServiceFailed."""
    with own_services(Part.KAFKA, Part.REDIS) as (folder, addresses):
        yield Stage(folder, addresses[Part.KAFKA], addresses[Part.REDIS])


def members(admin: AdminClient, group: str) -> int:
    """Return how many members a group has by what the broker knows; one that was killed is one for a while."""
    return len(admin.describe_consumer_groups([group])[group].result(SECONDS).members)
