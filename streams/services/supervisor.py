"""Starts, finds and ends the services of one folder; what runs stands in its `services.json`."""

import fcntl
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from streams.services import clickhouse, kafka, redis
from streams.services.errors import ServiceFailed
from streams.services.ports import free_port, is_free
from streams.services.process import POLL_SECONDS, Process, end, is_running, spawn

START_SECONDS = 60.0
GRACE_SECONDS = 15.0


class Part(StrEnum):
    """A service that headrace can run beside itself."""

    KAFKA = "kafka"
    REDIS = "redis"
    CLICKHOUSE = "clickhouse"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the running services are reached; None for one that was not asked for."""

    kafka: str | None = None
    redis: str | None = None
    clickhouse: str | None = None


class Health(msgspec.Struct, frozen=True):
    """How one service stands: `running` is its process, `ready` is that it answers."""

    running: bool
    ready: bool
    address: str | None
    pid: int | None
    log: str


def up(folder: Path, parts: Collection[Part] = tuple(Part)) -> Endpoints:
    """Start those of `parts` that do not run yet, wait until all answer and return where.

    Data, logs and `services.json` lie in `folder`. A part that ran there before gets its old port when that
    is free, so that clients find it again. Raises `ServiceFailed` with the end of the log of one that fails.
    """
    wanted = [part for part in Part if part in parts]
    with _ledger(folder) as ledger:
        for part in wanted:
            if not ledger.runs(part):
                ledger.start(part)
        for part in wanted:
            ledger.wait_until_ready(part)
        return Endpoints(**{part.value: ledger.address(part) for part in wanted})


def down(folder: Path, parts: Collection[Part] = tuple(Part)) -> tuple[str, ...]:
    """End those of `parts` that `up` started in `folder` and return their names. Their data stay."""
    with _ledger(folder) as ledger:
        running = [part for part in Part if part in parts and ledger.runs(part)]
        for part in running:
            ledger.end(part)
    return tuple(part.value for part in running)


def status(folder: Path) -> dict[Part, Health]:
    """Return how every part of `folder` stands. Changes nothing."""
    ledger = _Ledger(folder)
    return {part: ledger.health(part) for part in Part}


@dataclass(frozen=True, slots=True)
class _Service:
    command: Callable[[Path, int], list[str]]
    is_ready: Callable[[int], bool]
    address: str


_SERVICES = {
    Part.KAFKA: _Service(kafka.command, kafka.is_ready, "127.0.0.1:{port}"),
    Part.REDIS: _Service(redis.command, redis.is_ready, "redis://127.0.0.1:{port}/0"),
    Part.CLICKHOUSE: _Service(clickhouse.command, clickhouse.is_ready, "http://127.0.0.1:{port}"),
}


class _Entry(msgspec.Struct, frozen=True):
    port: int
    process: Process | None = None


@contextmanager
def _ledger(folder: Path) -> Iterator["_Ledger"]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "services.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield _Ledger(folder)


class _Ledger:
    """What runs in one folder; every change is written down before it is waited for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._file = self._folder / "services.json"
        written = self._file.read_bytes() if self._file.exists() else b"{}"
        self._entries = msgspec.json.decode(written, type=dict[Part, _Entry])

    def runs(self, part: Part) -> bool:
        process = self._process(part)
        return process is not None and is_running(process)

    def start(self, part: Part) -> None:
        before = self._entries.get(part)
        port = before.port if before and is_free(before.port) else free_port()
        folder = self._folder / part
        for needed in (folder, self._log(part).parent):
            needed.mkdir(exist_ok=True)
        process = spawn(_SERVICES[part].command(folder, port), self._log(part))
        self._write(part, _Entry(port, process))

    def wait_until_ready(self, part: Part) -> None:
        port, deadline = self._entries[part].port, time.monotonic() + START_SECONDS
        # Its life is asked for too: what answers at the port may be somebody else.
        while self.runs(part) and time.monotonic() < deadline:
            if _SERVICES[part].is_ready(port):
                return
            time.sleep(POLL_SECONDS)
        self.end(part)
        raise ServiceFailed(f"{part} did not come up. Its log ends with:\n{self._last_words(part)}")

    def end(self, part: Part) -> None:
        entry = self._entries[part]
        if entry.process:
            end(entry.process, GRACE_SECONDS)
        self._write(part, _Entry(entry.port))

    def address(self, part: Part) -> str:
        return _SERVICES[part].address.format(port=self._entries[part].port)

    def health(self, part: Part) -> Health:
        running, process = self.runs(part), self._process(part)
        return Health(
            running=running,
            ready=running and _SERVICES[part].is_ready(self._entries[part].port),
            address=self.address(part) if running else None,
            pid=process.pid if running and process else None,
            log=str(self._log(part)),
        )

    def _process(self, part: Part) -> Process | None:
        entry = self._entries.get(part)
        return entry.process if entry else None

    def _log(self, part: Part) -> Path:
        return self._folder / "logs" / f"{part}.log"

    def _last_words(self, part: Part) -> str:
        lines = self._log(part).read_text(errors="replace").splitlines()
        return "\n".join([*lines[-20:], f"({self._log(part)})"])

    def _write(self, part: Part, entry: _Entry) -> None:
        self._entries[part] = entry
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self._entries)))
        fresh.replace(self._file)
