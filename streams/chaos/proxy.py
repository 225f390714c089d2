"""A small TCP proxy whose link can be cut, in both directions or one, or made slow."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from threading import Thread

CHUNK = 65_536
SLOW_SECONDS = 0.02


class Link(StrEnum):
    """How the link is."""

    WHOLE = "whole"
    SLOW = "slow"
    """Every chunk is 20 ms late, in both directions."""
    CUT = "cut"
    """Nothing gets through; connections stay open, as when a cable is pulled."""
    DEAF = "deaf"
    """What is asked gets through, the answers do not."""


class Proxy:
    """Passes on what comes in at `port` of 127.0.0.1, a free one for 0, to another port of it.

    Lives in a loop and thread of its own.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self.port = port
        self.link = Link.WHOLE
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._links: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    def open(self) -> None:
        """Begin to listen."""
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        self.port = int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        """Break every connection and stop."""
        self._loop.call_soon_threadsafe(self._server.close)
        asyncio.run_coroutine_threadsafe(self._break(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def mend(self) -> None:
        """Let everything through again; connections of the time before are broken, for what they lost is lost."""
        self.link = Link.WHOLE
        asyncio.run_coroutine_threadsafe(self._break(), self._loop).result()

    async def _break(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        ends = [writer]
        try:
            answers, asked = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(asked)
            await asyncio.gather(self._pass(reader, asked, ()), self._pass(answers, writer, (Link.DEAF,)))
        except (OSError, asyncio.CancelledError):
            return
        finally:
            self._links.discard(task)
            for end in ends:
                end.close()
            with suppress(OSError):
                await asyncio.gather(*(end.wait_closed() for end in ends))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: tuple[Link, ...]) -> None:
        while chunk := await reader.read(CHUNK):
            if self.link is Link.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            if self.link is not Link.CUT and self.link not in lost:
                writer.write(chunk)
                await writer.drain()
        writer.close()


@contextmanager
def proxied(target: int, port: int = 0) -> Iterator[Proxy]:
    """Run a proxy in front of a port of 127.0.0.1 for as long as the block lasts."""
    proxy = Proxy(target, port)
    proxy.open()
    try:
        yield proxy
    finally:
        proxy.close()
