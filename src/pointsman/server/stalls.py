"""Stalls: tells a client that reads slowly from one that reads no more."""

import asyncio
import socket
import sys
from typing import Any

if sys.platform == "linux":
    import fcntl
    import termios

# What the kernel may hold beyond what is on its way, and a transport until its writer has to wait.
# With a recording's lead and what is read of the upstream at once it makes the 256 KiB of FAULTS,
# row 18. Source: tcp(7), and the kernel's net/ipv4/tcp.c: a write beyond it waits. Read 2026-11-23.
UNSENT_BYTES_MAX = 16 * 1024
WRITTEN_BYTES_MAX = 16 * 1024


class CountingTransport:
    """A transport that knows how many bytes have been written to it, and how many have arrived.

    All but `write` is the transport's own.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written = 0
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        _bound_kernel_buffer(self._socket)
        transport.set_write_buffer_limits(high=WRITTEN_BYTES_MAX)

    def __getattr__(self, name: str) -> Any:
        """Return what the transport has by that name."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, and count; what comes too late goes nowhere, which for uvloop is an error."""
        if self._transport.is_closing():
            return
        self._written += len(data)
        self._transport.write(data)

    @property
    def waiting_bytes(self) -> int:
        """Return how many bytes wait here or, where that can be asked, in the kernel."""
        return self._transport.get_write_buffer_size() + _unacknowledged(self._socket)

    @property
    def arrived_bytes(self) -> int:
        """Return how many bytes wait no more."""
        return self._written - self.waiting_bytes


class StallWatch:
    """Cuts a connection off on which bytes have waited for `stall_s` and not one has arrived."""

    def __init__(
        self, transport: CountingTransport, stall_s: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._transport = transport
        self._stall_s = stall_s
        self._loop = loop
        self._arrived_bytes = 0
        self._since_s: float | None = None
        self._timer = loop.call_later(stall_s / 4, self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()

    def _look(self) -> None:
        now_s, arrived_bytes = self._loop.time(), self._transport.arrived_bytes
        if not self._transport.waiting_bytes or arrived_bytes != self._arrived_bytes:
            self._since_s = None
        elif self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s >= self._stall_s:
            self._transport.abort()
            return
        self._arrived_bytes = arrived_bytes
        self._timer = self._loop.call_later(self._stall_s / 4, self._look)


def _bound_kernel_buffer(connection: socket.socket | None) -> None:
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if connection is not None and option is not None and _is_tcp(connection):
        connection.setsockopt(socket.IPPROTO_TCP, option, UNSENT_BYTES_MAX)


def _unacknowledged(connection: socket.socket | None) -> int:
    """Return the bytes that the kernel still holds, 0 where it cannot be asked.

    Source: tcp(7), SIOCOUTQ, which Linux has as TIOCOUTQ too.
    """
    if sys.platform != "linux" or connection is None or not _is_tcp(connection):
        return 0
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    except (OSError, ValueError):  # closed meanwhile
        return 0
    return int.from_bytes(answer, sys.byteorder)


def _is_tcp(connection: socket.socket) -> bool:
    return connection.family in {socket.AF_INET, socket.AF_INET6}
