"""A network between a client and its server that breaks, or holds its breath, after so many bytes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

CHUNK = 1 << 16


@dataclass
class Network:
    """Counts in `sent` what clients send, and lets `limit` bytes of it through; then cuts the connection, both ways.

    With `held` given, it sets that event instead and waits for `released`.
    """

    sent: int = 0
    limit: int | None = None
    held: asyncio.Event | None = None
    released: asyncio.Event = field(default_factory=asyncio.Event)
    cut: bool = False

    def arm(self, limit: int | None, held: asyncio.Event | None = None) -> None:
        """Count from here on, with this limit."""
        self.sent, self.limit, self.held, self.cut = 0, limit, held, False
        self.released.clear()

    async def forward(self, client: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        """Pass on what a client says, until it ends or the limit cuts it off."""
        while not self.cut and (chunk := await client.read(CHUNK)):
            room = len(chunk) if self.limit is None else max(0, self.limit - self.sent)
            self.sent += len(chunk)
            reached = self.limit is not None and self.sent >= self.limit
            self.cut = reached and self.held is None
            server.write(chunk[:room])
            if reached and self.held:
                self.limit = None
                self.held.set()
                await self.released.wait()
                server.write(chunk[room:])

    async def answer(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Pass on what the server says until it ends; once cut, read it in vain: no reset overtakes the rest."""
        while chunk := await server.read(CHUNK):
            if not self.cut and not client.is_closing():
                client.write(chunk)


@asynccontextmanager
async def between(url: str) -> AsyncIterator[tuple[Network, str]]:
    """Put a network before the server at `url`; return it and the URL to reach the server through it."""
    network, address = Network(), urlsplit(url)
    joined: set[asyncio.Task[None]] = set()

    async def join(client: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        server = await asyncio.open_connection(address.hostname, address.port)
        answering = asyncio.create_task(network.answer(server[0], client[1]))
        await network.forward(client[0], server[1])
        client[1].close()
        server[1].write_eof()
        await answering
        server[1].close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        joined.add(asyncio.ensure_future(join((reader, writer))))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    yield network, urlunsplit(address._replace(netloc=f"127.0.0.1:{port}"))
    listening.close()
    await asyncio.wait_for(asyncio.gather(*joined), timeout=10)
