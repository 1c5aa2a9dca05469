"""Outlet: a connection's way out. It knows when its reader is slow, and when it reads no more."""

import asyncio
import socket
import sys

if sys.platform == "linux":
    import fcntl
    import termios

# What the kernel may hold beyond what is on its way, and a transport until its writer has to wait.
# With a recording's lead and what is read of the upstream at once it makes the 256 KiB of FAULTS,
# row 18. Source: tcp(7), and the kernel's net/ipv4/tcp.c: a write beyond it waits. Read 2026-11-23.
UNSENT_BYTES_MAX = 16 * 1024
WRITTEN_BYTES_MAX = 16 * 1024


class Outlet:
    """Writes to a transport, and cuts it off where bytes wait for `stall_s` and none arrives.

    It looks while something was written lately: an idle connection has no timer.
    """

    def __init__(
        self, transport: asyncio.Transport, stall_s: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.is_slow = False
        self._transport = transport
        self._stall_s = stall_s
        self._loop = loop
        self._socket: socket.socket | None = transport.get_extra_info("socket")
        self._written_bytes = 0
        self._arrived_bytes = 0
        self._since_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._taken: asyncio.Future[None] | None = None
        _bound_kernel_buffer(self._socket)
        transport.set_write_buffer_limits(high=WRITTEN_BYTES_MAX)

    def write(self, data: bytes) -> None:
        """Write; what comes too late goes nowhere, which for uvloop is an error."""
        if self._transport.is_closing():
            return
        self._written_bytes += len(data)
        self._transport.write(data)
        if self._timer is None:
            self._look_later()

    async def drained(self) -> None:
        """Wait until most of what was written has left, or the connection is lost."""
        while self.is_slow:
            if self._taken is None:
                self._taken = self._loop.create_future()
            await asyncio.shield(self._taken)

    def pause(self) -> None:
        """Note that too much waits here."""
        self.is_slow = True

    def resume(self) -> None:
        """Note that it has left, or that nobody will take it."""
        self.is_slow = False
        if self._taken is not None:
            self._taken.set_result(None)
            self._taken = None

    def close(self) -> None:
        """Let go of the connection, which is lost."""
        if self._timer is not None:
            self._timer.cancel()
        self.resume()

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._stall_s / 4, self._look)

    def _look(self) -> None:
        self._timer = None
        waiting_bytes = self._transport.get_write_buffer_size() + _unacknowledged(self._socket)
        arrived_bytes = self._written_bytes - waiting_bytes
        if not waiting_bytes:
            self._since_s = None
            return
        now_s = self._loop.time()
        if self._since_s is None or arrived_bytes != self._arrived_bytes:
            self._since_s = now_s
        elif now_s - self._since_s >= self._stall_s:
            self._transport.abort()
            return
        self._arrived_bytes = arrived_bytes
        self._look_later()


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
