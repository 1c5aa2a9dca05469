"""Pool: connections that wait for their next request, those used last in front."""

import asyncio
from collections.abc import Hashable

from pointsman.providers.http1.connection import Connection

# Shorter than what most servers keep a connection for (nginx: 75 s), so that it is seldom they who
# close it, at the very moment of a request.
IDLE_S = 15.0


class Pool:
    """Keeps connections by a key that says all in which two of them may differ."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Connection]] = {}
        self._open: dict[Connection, None] = {}  # in their order, as no set has one
        self._timer: asyncio.TimerHandle | None = None

    def made(self, loop: asyncio.AbstractEventLoop) -> Connection:
        """Return a new connection, not yet connected."""
        connection = Connection(loop, self._forget)
        self._open[connection] = None
        return connection

    def waiting(self, key: Hashable) -> list[Connection]:
        """Return the connections that wait for a call of a key, now and ever after."""
        return self._waiting.setdefault(key, [])

    def take(self, waiting: list[Connection], now_s: float) -> Connection | None:
        """Return a connection that is open and on which nothing has come, None for none."""
        while waiting:
            connection = waiting.pop()
            if connection.is_open and now_s - connection.idle_since_s < IDLE_S:
                return connection
            connection.abort()
        return None

    def give_back(self, waiting: list[Connection], connection: Connection) -> None:
        """Keep a connection after its exchange, where another one may follow."""
        if connection not in self._open or not connection.end_exchange():
            return
        loop = connection.loop
        connection.idle_since_s = loop.time()
        waiting.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(IDLE_S, self._sweep, loop)

    def close(self) -> None:
        """Close all connections, those in use too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiting in self._waiting.values():
            waiting.clear()
        for connection in tuple(self._open):
            connection.abort()

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has waited for too long, and come again while something waits."""
        self._timer = None
        long_ago_s = loop.time() - IDLE_S
        is_any_left = False
        for waiting in self._waiting.values():
            connections = waiting.copy()
            waiting.clear()
            for connection in connections:
                if connection.is_open and connection.idle_since_s > long_ago_s:
                    waiting.append(connection)
                    is_any_left = True
                else:
                    connection.abort()
        if is_any_left:
            self._timer = loop.call_later(IDLE_S, self._sweep, loop)

    def _forget(self, connection: Connection) -> None:
        self._open.pop(connection, None)
