"""The network: connections in memory between the client and simulated upstreams."""

import asyncio
import errno
import os
from collections.abc import Callable
from typing import Any, Protocol

from tests.simulation.loop import VirtualLoop


class Server(Protocol):
    """The upstream's end of one connection."""

    def received(self, data: bytes) -> None:
        """Take what the client has sent."""

    def left(self) -> None:
        """Note that the client has closed."""


class Listener(Protocol):
    """Who takes connections at an address."""

    async def arrive(self) -> None:
        """Take a connection, or raise OSError, after a time."""

    def accept(self, wire: "Wire") -> Server:
        """Return the upstream's end of a new connection."""


class Wire(asyncio.Transport):
    """The client's end. The upstream sends with `deliver`, `close_by_peer` and `reset`.

    `on_gone` is told once, when it is closed for whatever reason.
    """

    def __init__(
        self,
        protocol: asyncio.Protocol,
        address: tuple[str, int],
        loop: VirtualLoop,
        on_gone: Callable[["Wire"], None],
    ) -> None:
        super().__init__()
        self.is_closed = False
        self.server: Server | None = None
        self.loop = loop
        self._protocol = protocol
        self._address = address
        self._on_gone = on_gone
        self._is_paused = False
        self._waiting: list[Callable[[], None]] = []

    # What the upstream does.

    def deliver(self, data: bytes, told: Callable[[], None]) -> None:
        """Give the client bytes, now or when it reads again; call `told` once they are read."""

        def give() -> None:
            self._protocol.data_received(data)
            told()

        self._do(give)

    def close_by_peer(self) -> None:
        """End the stream in good order."""

        def end() -> None:
            if not self._protocol.eof_received():
                self.close()

        self._do(end)

    def reset(self) -> None:
        """Break the connection; what has not been read is lost."""
        self._waiting.clear()
        self._lose(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

    def _do(self, what: Callable[[], None]) -> None:
        if self.is_closed:
            return
        if self._is_paused:
            self._waiting.append(what)
        else:
            what()

    # What the client does.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._address if name == "peername" else default

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.is_closed and self.server is not None:
            self.server.received(bytes(data))

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self.loop.call_soon(self._catch_up)

    def is_reading(self) -> bool:
        return not self._is_paused

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        del high, low

    def can_write_eof(self) -> bool:
        return False

    def _catch_up(self) -> None:
        while self._waiting and not self._is_paused and not self.is_closed:
            self._waiting.pop(0)()

    def _lose(self, error: Exception | None) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._waiting.clear()
        if self.server is not None:
            self.server.left()
        self._on_gone(self)
        self.loop.call_soon(self._protocol.connection_lost, error)


class MemoryNetwork:
    """Names, addresses, and who listens there."""

    def __init__(self) -> None:
        self.open_wires: list[Wire] = []
        self._listeners: dict[tuple[str, int], Listener] = {}
        self._names: dict[str, str] = {}

    def listen(self, name: str, address: tuple[str, int], listener: Listener) -> None:
        self._names[name] = address[0]
        self._listeners[address] = listener

    async def look_up(self, host: str) -> str:
        return self._names[host]

    async def connect(self, address: tuple[str, int]) -> None:
        await self._listeners[address].arrive()

    def open(
        self, protocol: asyncio.Protocol, address: tuple[str, int], loop: VirtualLoop
    ) -> asyncio.Transport:
        wire = Wire(protocol, address, loop, self.open_wires.remove)
        self.open_wires.append(wire)
        wire.server = self._listeners[address].accept(wire)
        return wire

    def cut(self) -> None:
        """Close every connection without a word to anybody: the client's process is dead."""
        for wire in self.open_wires:
            wire.is_closed = True
            if wire.server is not None:
                wire.server.left()
        self.open_wires.clear()
