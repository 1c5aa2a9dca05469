"""VirtualLoop: an event loop that never waits. Its time jumps to the next timer.

Nothing in it asks the machine: no selector, no threads, no sockets but those of a simulated
network. So what happens on it depends on what is put into it alone.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Network(Protocol):
    """Who is behind names and addresses."""

    async def look_up(self, host: str) -> str:
        """Return a name's address. Raises OSError."""

    async def connect(self, address: tuple[str, int]) -> None:
        """Wait until somebody takes the connection. Raises OSError."""

    def open(
        self, protocol: asyncio.Protocol, address: tuple[str, int], loop: "VirtualLoop"
    ) -> asyncio.Transport:
        """Return the client's end of a connection."""


class Crash(BaseException):
    """The process is dead, with all that it had not written."""


class Stuck(AssertionError):
    """Nothing will ever happen any more, and somebody still waits."""


class NumberedFuture(asyncio.Future[Any]):
    """A future whose place in a set does not depend on where in memory it is."""

    def __init__(self, number: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class NumberedTask(asyncio.Task[Any]):
    """A task, likewise."""

    def __init__(self, number: int, coro: Any, **given: Any) -> None:
        self._number = number
        super().__init__(coro, **given)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """`begins_s`: its first time. `crashes_s`: when it dies, None for never.

    `ends_s`: a time by which all must be over.
    """

    def __init__(
        self, network: Network, *, begins_s: float, crashes_s: float | None, ends_s: float
    ) -> None:
        super().__init__()
        self._network = network
        self._now_s = begins_s
        self._crashes_s = crashes_s
        self._ends_s = ends_s
        self._selector = self  # what BaseEventLoop waits with
        self._addresses: dict[socket.socket, tuple[str, int]] = {}
        self._numbers = 0

    def create_future(self) -> NumberedFuture:
        self._numbers += 1
        return NumberedFuture(self._numbers, loop=self)

    def create_task(self, coro: Any, *, name: object = None, context: Any = None) -> NumberedTask:
        self._numbers += 1
        name = str(name or self._numbers)
        return NumberedTask(self._numbers, coro, loop=self, name=name, context=context)

    def time(self) -> float:
        return self._now_s

    def select(self, timeout: float | None) -> list[object]:
        """Let time pass at once. Raises Crash and Stuck."""
        if timeout is None:
            raise Stuck(f"at {self._now_s:.6f} s: nothing is left to happen")
        then_s = self._now_s + max(0.0, timeout)
        if self._crashes_s is not None and then_s >= self._crashes_s:
            self._now_s = max(self._now_s, self._crashes_s)
            raise Crash
        if then_s > self._ends_s:
            raise Stuck(f"at {self._now_s:.6f} s: it goes on and on")
        self._now_s = then_s
        return []

    def _process_events(self, event_list: list[object]) -> None:
        del event_list

    def _write_to_self(self) -> None:
        """Wake nobody: there is one thread."""

    def run_in_executor(
        self, executor: object, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run it at once; whoever waits learns of it later, as from a thread."""
        del executor
        future: asyncio.Future[T] = self.create_future()
        try:
            result = func(*args)
        except BaseException as error:  # it is told to who waits
            self.call_soon(_fail, future, error)
        else:
            self.call_soon(_tell, future, result)
        return future

    async def getaddrinfo(  # type: ignore[override]
        self, host: str, port: int, **_: object
    ) -> list[tuple[Any, ...]]:
        found = await self._network.look_up(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (found, port))]

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        del flags
        return str(sockaddr[0]), str(sockaddr[1])

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        await self._network.connect((address[0], address[1]))
        self._addresses[sock] = (address[0], address[1])

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], *, sock: socket.socket, **_: object
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        address = self._addresses.pop(sock)
        sock.close()  # it has never been connected to anything
        protocol = protocol_factory()
        transport = self._network.open(protocol, address, self)
        protocol.connection_made(transport)
        return transport, protocol


def _tell(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
