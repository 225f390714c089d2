"""When keys are written in Redis, told by Redis itself: keyspace notifications, so that nobody has to poll."""

from __future__ import annotations

import socket
import time
from collections.abc import Collection
from threading import Thread
from types import TracebackType
from typing import Self

from hiredis import Reader
from redis import Redis

RECEIVE_BYTES = 1 << 20
POLL_SECONDS = 0.05


class Arrivals:
    """The time, by `time.perf_counter`, at which each key with a prefix was first SET, by what follows the prefix.

    A key counts when the notification is read off the connection, which Redis sends as soon as a reader would find it.
    Works on database 0. Use as a context manager: it listens from entering on.
    """

    def __init__(self, url: str, prefix: str) -> None:
        self.at: dict[str, float] = {}
        self._url = url
        self._channel = f"__keyspace@0__:{prefix}"
        self._thread = Thread(target=self._listen, name="arrivals", daemon=True)

    def __enter__(self) -> Self:
        with Redis.from_url(self._url) as client:
            client.config_set("notify-keyspace-events", "K$")
            where = client.connection_pool.connection_kwargs
        self._socket = socket.create_connection((where["host"], where["port"]))
        self._socket.sendall(f"PSUBSCRIBE {self._channel}*\r\n".encode())
        self._reader = Reader()
        self._read_until_subscribed()
        self._thread.start()
        return self

    def __exit__(
        self, failed: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def wait_for(self, wanted: Collection[str], seconds: float) -> None:
        """Return once all wanted keys have come. Raises RuntimeError when time is up."""
        deadline = time.monotonic() + seconds
        while missing := sum(each not in self.at for each in wanted):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{missing} of {len(wanted)} results are not in Redis after {seconds:.0f} s more")
            time.sleep(POLL_SECONDS)

    def _read_until_subscribed(self) -> None:
        while self._reader.gets() is False:
            self._reader.feed(self._socket.recv(RECEIVE_BYTES))

    def _listen(self) -> None:
        start = len(self._channel)
        while received := self._socket.recv(RECEIVE_BYTES):
            now = time.perf_counter()
            self._reader.feed(received)
            while (message := self._reader.gets()) is not False:
                self.at.setdefault(message[2].decode()[start:], now)
