"""Stalls: tells a client that reads slowly from one that reads no more."""

import asyncio
import socket
from typing import Any

# What the kernel may hold beyond what is on its way. Together with the 64 KiB that asyncio's
# transports buffer and a recording's lead it makes the 256 KiB of FAULTS, row 18. Source: tcp(7),
# and the kernel's net/ipv4/tcp.c: a write beyond it waits. Read 2026-11-23.
UNSENT_BYTES_MAX = 64 * 1024


class CountingTransport:
    """A transport that knows how many bytes have been written to it, and so how many have left.

    All but `write` is the transport's own.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written = 0
        _bound_kernel_buffer(transport)

    def __getattr__(self, name: str) -> Any:
        """Return what the transport has by that name."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, and count."""
        self._written += len(data)
        self._transport.write(data)

    @property
    def left_bytes(self) -> int:
        """Return how many bytes the system has taken so far."""
        return self._written - self._transport.get_write_buffer_size()

    @property
    def is_drained(self) -> bool:
        """Return whether nothing waits to be taken."""
        return not self._transport.get_write_buffer_size()


class StallWatch:
    """Cuts a connection off on which bytes have waited for `stall_s` and not one has left."""

    def __init__(
        self, transport: CountingTransport, stall_s: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._transport = transport
        self._stall_s = stall_s
        self._loop = loop
        self._left_bytes = 0
        self._since_s: float | None = None
        self._timer = loop.call_later(stall_s / 4, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now_s, left_bytes = self._loop.time(), self._transport.left_bytes
        if self._transport.is_drained or left_bytes != self._left_bytes:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s >= self._stall_s:
            self._transport.abort()
            return
        self._left_bytes = left_bytes
        self._timer = self._loop.call_later(self._stall_s / 4, self._look)


def _bound_kernel_buffer(transport: asyncio.Transport) -> None:
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    connection = transport.get_extra_info("socket")
    if option is not None and connection is not None and connection.family != _unix():
        connection.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES_MAX)


def _unix() -> int | None:
    return getattr(socket, "AF_UNIX", None)
