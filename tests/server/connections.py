"""A server in this process on a real socket, asked in raw bytes."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pointsman.server.app import App
from pointsman.server.protocol import Protocol

DEADLINE_S = 30.0


@dataclass
class Listening:
    """A server that listens."""

    port: int
    connections: set[Protocol]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to it."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def raw(self, data: bytes, *, piece: int = 1 << 20) -> bytes:
        """Send bytes, `piece` at a time, and return all that comes until the server closes."""
        reader, writer = await self.connect()
        try:
            async with asyncio.timeout(DEADLINE_S):
                for start in range(0, len(data), piece):
                    writer.write(data[start : start + piece])
                    await writer.drain()
                return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def listening(app: App, protocol: type[Protocol] = Protocol) -> AsyncIterator[Listening]:
    """Have an app listen; what still runs in the end is waited for."""
    connections = set[Protocol]()
    server = await asyncio.get_running_loop().create_server(
        lambda: protocol(app, connections), "127.0.0.1", 0
    )
    async with server:
        yield Listening(server.sockets[0].getsockname()[1], connections)
    if connections:
        closed = [connection.closed for connection in connections]
        for connection in tuple(connections):
            connection.transport.abort()
        await asyncio.wait(closed)
    await app.wait_idle()


def statuses(received: bytes) -> list[int]:
    """Return the status of each reply in what was received."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
