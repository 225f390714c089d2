"""Processes that outlive the command that started them."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import msgspec

POLL_SECONDS = 0.05


class Process(msgspec.Struct, frozen=True):
    """A process by its pid and its birth, so that a pid used again is not mistaken for it."""

    pid: int
    birth: str


def spawn(command: list[str], log: Path) -> Process:
    """Start `command` in a session of its own and return it; its output is appended to `log`.

    Raises `OSError` when the program cannot be started.
    """
    # Not `Popen`: the process shall outlive this one, and `Popen` objects warn about that.
    to_log = (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    no_input = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    pid = os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[no_input, to_log, (os.POSIX_SPAWN_DUP2, 1, 2)],
        setsid=True,
    )
    return Process(pid, birth_of(pid) or "")


def is_running(process: Process) -> bool:
    """Return whether exactly this process lives. A process that ended but was not reaped does not."""
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    return birth_of(process.pid) == process.birth


def end(process: Process, grace_seconds: float) -> None:
    """End this process: SIGTERM, then SIGKILL after the grace. Touches no other process of the same pid."""
    for ending, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, grace_seconds)):
        if not is_running(process):
            return
        with suppress(ProcessLookupError):
            os.kill(process.pid, ending)
        deadline = time.monotonic() + seconds
        while is_running(process) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


def birth_of(pid: int) -> str | None:
    """Return what marks the start of the living process `pid`, or None when there is none."""
    proc = Path("/proc")
    if not (proc / "self").exists():
        return _birth_by_ps(pid)
    try:
        stat = (proc / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field, the program's name in brackets, may itself hold spaces and brackets.
    state, *fields = stat.rpartition(")")[2].split()
    boot = (proc / "sys/kernel/random/boot_id").read_text().strip()
    return None if state in "ZX" else f"{boot}:{fields[18]}"


def _birth_by_ps(pid: int) -> str | None:
    listing = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = listing.stdout.strip().partition(" ")
    return started.strip() if state and not state.startswith("Z") else None
