"""The workers of a drill, as processes: started, held still, killed, and started again when they end by themselves."""

import signal
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path

from streams.chaos.footprint import Use, use_of
from streams.chaos.launching import Child, Launch
from streams.services.ports import free_port

STOP_SECONDS = 30.0
METRICS_SECONDS = 0.5
MOST_ENDINGS = 8
"""Workers that end by themselves and are replaced: more of them are no accident any more."""


class CrewLost(RuntimeError):
    """No worker stays."""


@dataclass(eq=False)
class Member:
    """One worker process, and where it tells its metrics."""

    process: Child
    port: int
    log: Path
    dismissed: bool = False
    """Whether it was ended on purpose."""
    uses: list[Use] = field(default_factory=list)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    @property
    def running(self) -> bool:
        """Whether its process lives, be it held still."""
        return self.process.poll() is None

    def last_words(self) -> str:
        """Return the end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


@dataclass
class Crew:
    """The workers of one drill: they share a group, a broker and a Redis, and log in `folder`.

    `endings` counts exit statuses of those that nobody ended. Use as a context manager, which kills what still runs.
    """

    environment: Mapping[str, str]
    folder: Path
    launch: Launch
    members: list[Member] = field(default_factory=list)
    endings: Counter[int] = field(default_factory=Counter)
    fenced: Counter[tuple[int, str]] = field(default_factory=Counter)

    def __enter__(self) -> "Crew":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            if member.running:
                member.process.kill()
            member.process.wait(STOP_SECONDS)

    def start(self, skew_seconds: int = 0, **settings: str) -> Member:
        """Start a worker, with settings of its own and a clock that is so much ahead."""
        port = free_port()
        log = self.folder / f"worker-{len(self.members)}.log"
        own = {f"HEADRACE_{name.upper()}": value for name, value in settings.items()}
        variables = dict(self.environment) | {"HEADRACE_METRICS_PORT": str(port)} | own
        process = self.launch(variables, log, skew_seconds)
        member = Member(process, port, log)
        self.members.append(member)
        return member

    @property
    def running(self) -> list[Member]:
        """Those that live."""
        return [member for member in self.members if member.running]

    def kill(self, member: Member) -> None:
        """End a worker without a word."""
        member.dismissed = True
        member.process.kill()
        member.process.wait(STOP_SECONDS)

    def dismiss(self, member: Member, allowed: Collection[int] = (0,)) -> list[str]:
        """Ask a worker to end, and return what was wrong with how it did: nothing where its exit status is `allowed`.

        The status is -9 where it did not end within 30 s and was killed.
        """
        member.dismissed = True
        member.signal(signal.SIGTERM)
        try:
            status = member.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            member.process.kill()
            status = member.process.wait(STOP_SECONDS)
        if status in allowed:
            return []
        return [f"a worker ended with {status} at SIGTERM, not with 0. Its log ends with:\n{member.last_words()}"]

    def replace_ended(self) -> None:
        """Start a worker for each that ended by itself, as whatever supervises them in earnest does.

        Raises CrewLost when they end again and again.
        """
        for member in self.members:
            if not member.dismissed and (status := member.process.poll()) is not None:
                member.dismissed = True
                self.endings[status] += 1
                if self.endings.total() > MOST_ENDINGS:
                    raise CrewLost(f"workers end again and again, the last one with {status}")
                self.start()

    def has_work(self, member: Member) -> bool:
        """Return whether a worker has partitions by now."""
        return bool(_told(member.port, "headrace_lane_waiting{"))

    def measure(self) -> None:
        """Note what each worker takes of the machine now."""
        for member in self.running:
            if (use := use_of(member.process.pid)) is not None:
                member.uses.append(use)

    def look(self) -> None:
        """Note how many commits of each worker have been fenced by now."""
        for member in self.running:
            for lane, count in _told(member.port, "headrace_lane_fenced_total{").items():
                at = (member.process.pid, lane)
                self.fenced[at] = max(self.fenced[at], count)


def _told(port: int, metric: str) -> dict[str, int]:
    """Return a metric by lane; nothing while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=METRICS_SECONDS) as answer:
            lines = answer.read().decode().splitlines()
    except (OSError, HTTPException):
        return {}
    found = [line.rpartition(" ") for line in lines if line.startswith(metric)]
    return {lane: int(float(count)) for lane, _, count in found}
