"""Acceptor: takes connections from a listener that several workers share, in fair parts.

Whoever is idle would take all that come at once, and a connection stays where it was taken. So
each worker tells how many it has, in memory that all share, and one that has more than another
leaves what waits to that one for a moment. It is only a moment: a worker that is stuck holds
nobody up. The listener is the same for all, so nothing waits on the socket of a worker that died.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable

from pointsman.shared import Region

BACKLOG = 2_048
# Those of a burst are taken in turns of so many, so that requests are served in between.
_AT_ONCE = 8
_LEAVE_S = 0.001
# No more files are to be had: somebody must close one first.
_SHORT_S = 1.0
_WORD = struct.Struct("<q")
_NOBODY = -1

log = logging.getLogger("pointsman")


class Places:
    """How many connections the worker of each place has; made before the fork."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._region = Region(workers * _WORD.size)
        for place in range(workers):
            self.leave(place)

    def tell(self, place: int, count: int) -> None:
        """Tell how many a worker has."""
        _WORD.pack_into(self._region.memory, place * _WORD.size, count)

    def leave(self, place: int) -> None:
        """Tell that nobody takes connections there."""
        self.tell(place, _NOBODY)

    def least(self) -> int:
        """Return how many the worker has that has the fewest, 0 where there is none."""
        counts = struct.unpack_from(f"<{self._workers}q", self._region.memory)
        return min((count for count in counts if count != _NOBODY), default=0)


class Acceptor:
    """One worker's, on the loop that runs. `make` makes a connection's protocol; `count`: of them
    that are open here.
    """

    def __init__(
        self,
        listener: socket.socket,
        places: Places,
        place: int,
        *,
        make: Callable[[], asyncio.Protocol],
        count: Callable[[], int],
    ) -> None:
        self._listener = listener
        self._places = places
        self._place = place
        self._make = make
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_closed = False
        listener.setblocking(False)
        listener.listen(BACKLOG)
        places.tell(place, 0)
        self._watch()

    def close(self) -> None:
        """Take no more."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._listener)
            self._places.leave(self._place)
            if self._pause is not None:
                self._pause.cancel()

    def _watch(self) -> None:
        self._loop.add_reader(self._listener, self._take)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        """Take one, whoever has fewer: that worker has had its moment."""
        self._pause = None
        self._watch()
        self._accept()

    def _take(self) -> None:
        for _ in range(_AT_ONCE):
            count = self._count() + len(self._opening)
            self._places.tell(self._place, count)
            least = self._places.least()
            if count > least + least // 8:
                self._rest(_LEAVE_S)
                return
            if not self._accept():
                return

    def _accept(self) -> bool:
        """Take one connection; return whether there was one."""
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            log.error("no connection can be taken: %s", error.strerror)
            self._rest(_SHORT_S)
            return False
        connection.setblocking(False)
        task = self._loop.create_task(self._open(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:  # the client has gone already
            connection.close()
