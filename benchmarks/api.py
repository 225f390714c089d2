"""Requests a second and milliseconds of the read API: GET /scores/{event_id}, and a constant route beside it.

The API runs as it ships, `headrace api` on uvicorn, over a real Redis that holds real scores. A few connections ask
without pause, each for one score after the other; /livez, which reads nothing, is what the server alone can do.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from urllib.parse import quote

import numpy as np
from redis import Redis

from benchmarks.process import Process, running
from schemas.topics import SCORES
from sinks.serving import apply, serve
from streams.assembly import fraud_pipeline
from streams.replay import replay
from streams.services.own import own_services
from streams.services.ports import accepts_connections, free_port
from streams.services.supervisor import Part
from streams.settings import Settings
from streams.simulator import World, simulate

SCORED = 5_000
CONNECTIONS = 8
START_SECONDS = 60.0
WORLD = World(customers=200, terminals=300, days=30)

Told = Callable[[str], None]
Figures = dict[str, float]


def api(seconds: int = 10, told: Told = lambda _: None) -> dict[str, Figures]:
    """Return requests/s and latencies in milliseconds of each route."""
    with own_services(Part.REDIS) as (_, addresses):
        told("scores")
        ids = fill(addresses[Part.REDIS])
        port = free_port()
        command = [sys.executable, "-m", "streams", "api", "--port", str(port)]
        with running(command, {"HEADRACE_REDIS": addresses[Part.REDIS]}) as process:
            await_server(process, port)
            found = {}
            for route, paths in (("scores", [f"/scores/{quote(each)}" for each in ids]), ("constant", ["/livez"])):
                told(f"warming {route}")
                asyncio.run(load(port, paths, 1.0))
                told(route)
                found[route] = asyncio.run(load(port, paths, seconds))
    return found


def fill(redis: str) -> list[str]:
    """Serve the scores of some simulated payments; return their event ids."""
    said = (record for record in replay(fraud_pipeline(Settings()), simulate(WORLD)) if record.topic is SCORES)
    with Redis.from_url(redis) as client:
        records = list(islice(said, SCORED))
        apply(client, (served for record in records for served in serve(record, SCORES.encode(record.message))))
    return [record.message.event_id for record in records]


def await_server(process: Process, port: int) -> None:
    """Return once the server accepts connections. Raises RuntimeError when it ends, or does not within a minute."""
    deadline = time.monotonic() + START_SECONDS
    while not accepts_connections(port):
        process.check_alive()
        if time.monotonic() > deadline:
            raise RuntimeError(f"the API does not answer after {START_SECONDS:.0f} s")
        time.sleep(0.05)


async def load(port: int, paths: Sequence[str], seconds: float) -> Figures:
    """Return what a few connections saw that asked for the paths in turn, without pause, for so long."""
    until, turn = time.perf_counter() + seconds, cycle(paths)
    seen = await asyncio.gather(*(ask(port, turn, until) for _ in range(CONNECTIONS)))
    latencies = np.concatenate(seen) * 1_000
    p50, p99 = np.percentile(latencies, (50, 99)).tolist()
    return {"requests_per_second": round(len(latencies) / seconds), "p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}


async def ask(port: int, paths: Iterator[str], until: float) -> list[float]:
    """Return the seconds each request of one connection took. Raises RuntimeError for an answer other than 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    while (started := time.perf_counter()) < until:
        path = next(paths)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"GET {path}: {head.splitlines()[0].decode()}")
        await reader.readexactly(content_length(head))
        took.append(time.perf_counter() - started)
    writer.close()
    await writer.wait_closed()
    return took


def content_length(head: bytes) -> int:
    """Return the length of the body behind an answer's head.

    >>> content_length(b"HTTP/1.1 200 OK\\r\\ncontent-length: 17\\r\\n\\r\\n")
    17
    """
    return int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
