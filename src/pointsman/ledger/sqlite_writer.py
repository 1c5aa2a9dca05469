"""One thread that writes: it takes what is queued, commits it once, then tells those who wait.

Writes gather while the event loop is busy, for a moment at most, and are then handed over as one,
unless they come one by one: then none is waited for;
while a commit waits for the disk the next group gathers by itself. So a busy ledger costs fewer
commits per row, and an idle one answers after one.

What happens to a write that fails depends on its kind. An intent, a hit or feedback is refused: its
caller can still decline. An end cannot be declined, because the call was made: it is kept and tried
again until it is written; only who waits for it is told. Ends have a bound of their own, far above
the queue's, which only a fault with more attempts under way than `_ENDS_MAX` could reach.
"""

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import msgspec

from pointsman.core.errors import GatewayError, LedgerUnavailable
from pointsman.core.secret import unsaid
from pointsman.ledger.sqlite_bookings import Bookings, Work, are_rows
from pointsman.ledger.sqlite_file import Spare, is_busy, is_full, transaction

_GROUP_MAX = 512
_ENDS_MAX = 100_000
RETRY_S = 0.25
# A round of the event loop that took at most twice the shortest had nothing to do: what would
# come has come. How short that is depends on the machine, so it is learned, up to this.
_IDLE_ROUND_S_MAX = 100e-6
_FORGOTTEN = 1.01
_GATHERED_S_MAX = 0.003
# Who has the lock is mostly another worker, for the time of one sync. SQLite's own waits grow to
# 25 ms: with two workers a write then took 130 ms in a hundred, and takes 44 so; both get as many.
_BUSY_STEP_MS = 1
# With the sync's own time, no more than the last second is at risk.
_SYNC_S = 0.9

# Faults of one row's values. Were they the group's, one kept end could hold up every later write.
UNWRITABLE = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    ArithmeticError,
    AttributeError,
    TypeError,
    ValueError,
)

_log = logging.getLogger(__name__)


class Write(msgspec.Struct):
    """One thing to write, inside its group's transaction.

    `is_end`: must not be lost, as the module's docstring has it. `future`: who waits, if anyone.
    """

    work: Work
    is_end: bool
    queued_at: float
    future: asyncio.Future[bool] | None = None


class GroupWriter:
    """Owns a connection and the thread that writes to it by `bookings`.

    `busy_s`: how long a write waits for a lock. `queue_max`: how many may wait, ends apart.
    `sync`: makes durable what is committed, where a commit alone does not; None where it does.
    `now_s` is a monotonic clock. `lock` is held while a transaction is open, for those who read by
    the same connection.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        bookings: Bookings,
        *,
        name: str,
        busy_s: float,
        queue_max: int,
        spare: Spare | None = None,
        sync: Callable[[], None] | None = None,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self.lock = threading.Lock()
        self._connection = connection
        self._bookings = bookings
        self._name = name
        self._busy_s = busy_s
        self._queue_max = queue_max
        self._spare = spare
        self._sync = sync
        self._now_s = now_s
        self._unsynced_since: float | None = None
        # What gathers and which loop is to hand it over; when it began to, and its latest round.
        self._gathering: list[Write] = []
        self._handing: asyncio.AbstractEventLoop | None = None
        self._gathering_since_s = self._round_s = 0.0
        self._shortest_s = _IDLE_ROUND_S_MAX
        self._is_alone = False  # the latest to be handed over: no other came with it, none waited
        self._queue: deque[Write] = deque()
        self._kept: deque[Write] = deque()
        self._retry_at = 0.0
        self._bell = threading.Lock()  # let go when there is something to do
        self._is_closing = False
        self._is_failing = False
        step_ms = min(_BUSY_STEP_MS, int(busy_s * 1000))
        connection.execute(f"PRAGMA busy_timeout = {step_ms}")
        self._start()

    def awaited(self, work: Work, *, is_end: bool = False) -> asyncio.Future[bool]:
        """Queue a write; return a future of whether it wrote, set when that is durable.

        Raises LedgerUnavailable as `submit` does; the future raises it when writing failed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._add(work, is_end, loop, future)
        return future

    def submit(self, work: Work, *, is_end: bool) -> None:
        """Queue a write that nobody waits for.

        Raises LedgerUnavailable when the queue is full or the writer is closed.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._add(work, is_end, None, None)
            self._hand_over()
        else:
            self._add(work, is_end, loop, None)

    def stop(self, last: Work) -> None:
        """Take nothing more; `last` is written after the rest, if nothing had to be given up."""
        if not self._is_closing:
            self._last = last
            self._hand_over()
            self._is_closing = True
            self._ring()

    def close(self, last: Work) -> None:
        """Stop; write what is queued; close the connection.

        Blocks: for three times `busy_s` when the file stays locked. May be called again.
        """
        self.stop(last)
        self._finish()

    def _add(
        self,
        work: Work,
        is_end: bool,
        loop: asyncio.AbstractEventLoop | None,
        future: asyncio.Future[bool] | None,
    ) -> None:
        if self._is_closing:
            raise LedgerUnavailable(f"ledger {self._name}: closed")
        limit = _ENDS_MAX if is_end else self._queue_max
        if len(self._gathering) + len(self._queue) + len(self._kept) >= limit:
            raise LedgerUnavailable(
                f"ledger {self._name}: {limit} writes are waiting for the disk",
                retry_after_s=self._busy_s,
            )
        self._gathering.append(Write(work, is_end, self._now_s(), future))
        # A loop that was closed hands nothing over any more: the next one does it.
        if loop is not self._handing and loop is not None:
            self._handing = loop
            if self._is_alone:
                loop.call_soon(self._hand_over)
            else:
                self._gathering_since_s = self._round_s = self._now_s()
                loop.call_soon(self._hand_over_when_idle, loop)

    def _hand_over_when_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = self._now_s()
        took_s = now_s - self._round_s
        longest_s = min(self._shortest_s * _FORGOTTEN, _IDLE_ROUND_S_MAX)
        self._shortest_s = min(took_s, longest_s)
        is_idle = took_s <= 2 * self._shortest_s
        if is_idle or now_s - self._gathering_since_s >= _GATHERED_S_MAX:
            self._hand_over()
        else:
            self._round_s = now_s
            loop.call_soon(self._hand_over_when_idle, loop)

    def _hand_over(self) -> None:
        self._handing = None
        if self._gathering:
            self._is_alone = len(self._gathering) == 1 and not self._queue
            self._queue.extend(self._gathering)
            self._gathering.clear()
            self._ring()

    def _ring(self) -> None:
        if self._bell.locked():
            self._bell.release()

    def _start(self) -> None:
        """Have `_run` run; a simulation, which has no threads, writes in another way."""
        self._thread = threading.Thread(target=self._run, name="pointsman-ledger", daemon=True)
        self._bell.acquire()
        self._thread.start()

    def _finish(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while (group := self._take()) is not None:
            self._write_guarded(group)
        left = 0
        while self._kept and len(self._kept) != left:
            left = len(self._kept)
            self._write_guarded([])
        if self._kept:
            # The run stays in the file, so the next start closes what these would have ended.
            _log.error("ledger %s: %d ends could not be written", self._name, len(self._kept))
        else:
            self._write_guarded([Write(self._last, is_end=False, queued_at=self._now_s())])
        self._sync_if(self._unsynced_since is not None)
        self._connection.close()

    def _take(self) -> list[Write] | None:
        """Return what to write next, None when closing and nothing is queued."""
        while True:
            is_closing = self._is_closing  # asked first: what was handed over before is written
            if self._queue:
                return self._gather()
            if is_closing:
                return None
            wait_s = self._due_in_s()
            if wait_s is not None and wait_s <= 0:
                return []
            self._bell.acquire(timeout=-1 if wait_s is None else wait_s)

    def _gather(self) -> list[Write]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), _GROUP_MAX))]

    def _due_in_s(self) -> float | None:
        due = [self._retry_at] if self._kept else []
        if self._unsynced_since is not None:
            due.append(self._unsynced_since + _SYNC_S)
        return min(due) - self._now_s() if due else None

    def _write_guarded(self, group: list[Write]) -> None:
        # Kept ends go first: their intents have long been written.
        kept = [self._kept.popleft() for _ in range(min(len(self._kept), _GROUP_MAX))]
        group = kept + group
        try:
            self._write(group)
        except Exception as error:  # whatever one group does, the next must still be written
            _log.error("ledger %s: a group of writes failed", self._name, exc_info=unsaid(error))
            self._refuse(group, error)

    def _write(self, group: list[Write]) -> None:
        """Write a group, waiting for locks; refuse what cannot be written."""
        group = self._refuse_without_spare(group)
        while group:
            group = self._try(group)
            self._sync_if(self._is_sync_due())
        self._sync_if(self._is_sync_due())

    def _try(self, group: list[Write]) -> list[Write]:
        """Write a group; return what of it to try again now."""
        try:
            results = self._commit(group)
        except sqlite3.Error as error:
            return self._after(error, group)
        self._succeed(group, results)
        return []

    def _commit(self, group: list[Write]) -> list[bool | GatewayError]:
        """Write a group at once if it can be, else one by one; return what came of each."""
        works = [write.work for write in group]
        with self.lock:
            if are_rows(works):
                with suppress(*UNWRITABLE), transaction(self._connection):
                    return self._bookings.write_all(self._connection, works)
            with transaction(self._connection):
                return [self._apply(write) for write in group]

    def _apply(self, write: Write) -> bool | GatewayError:
        try:
            return self._bookings.write(self._connection, write.work)
        except GatewayError as refusal:
            return refusal
        except UNWRITABLE as error:
            _log.error("ledger %s: a row cannot be written", self._name, exc_info=unsaid(error))
            return LedgerUnavailable(f"ledger {self._name}: the row cannot be written: {error}")

    def _after(self, error: sqlite3.Error, group: list[Write]) -> list[Write]:
        """Return what of the group to try again now."""
        if is_busy(error):
            too_old = self._now_s() - self._busy_s
            patient = [write for write in group if write.queued_at > too_old]
            self._refuse([write for write in group if write.queued_at <= too_old], error)
            return patient + self._gather() if patient else []
        if is_full(error) and self._spare and self._spare.give():
            self._refuse([write for write in group if not write.is_end], error)
            return [write for write in group if write.is_end]
        self._refuse(group, error)
        return []

    def _refuse_without_spare(self, group: list[Write]) -> list[Write]:
        """Refuse all but ends while the spare room is used up, for it is theirs."""
        if not self._spare or self._spare.is_there or self._spare.make():
            return group
        error = OSError("the disk is full")
        self._refuse([write for write in group if not write.is_end], error)
        return [write for write in group if write.is_end]

    def _succeed(self, group: list[Write], results: list[bool | GatewayError]) -> None:
        if self._sync and self._unsynced_since is None:
            self._unsynced_since = self._now_s()
        if self._is_failing:
            self._is_failing = False
            _log.warning("ledger %s: writes again", self._name)
        _tell([(write.future, result) for write, result in zip(group, results, strict=True)])

    def _refuse(self, group: list[Write], error: Exception) -> None:
        if not group:
            return
        if not self._is_failing:
            self._is_failing = True
            _log.error("ledger %s: cannot write: %s", self._name, error)
        refusal = LedgerUnavailable(f"ledger {self._name}: cannot write: {error}")
        refusal.__cause__ = error
        _tell([(write.future, refusal) for write in group])
        for write in group:
            if write.is_end:
                write.future, write.queued_at = None, self._now_s()
                self._kept.append(write)
        self._retry_at = self._now_s() + RETRY_S

    def _is_sync_due(self) -> bool:
        return self._unsynced_since is not None and self._unsynced_since + _SYNC_S <= self._now_s()

    def _sync_if(self, is_due: bool) -> None:
        if not is_due or self._sync is None:
            return
        try:
            self._sync()
            self._unsynced_since = None
        except OSError as error:
            _log.error("ledger %s: the last writes are not on the disk: %s", self._name, error)
            self._unsynced_since = self._now_s()


def _tell(results: list[tuple[asyncio.Future[bool] | None, bool | GatewayError]]) -> None:
    """Resolve futures, each on its own loop, with one call per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[bool], bool | GatewayError]]]
    by_loop = {}
    for future, result in results:
        if future is not None:
            by_loop.setdefault(future.get_loop(), []).append((future, result))
    for loop, waiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, waiting)
        except RuntimeError:
            # The loop is closed: its tasks are gone, and what was written stays written.
            _log.debug("ledger: %d writes outlived their event loop", len(waiting))


def _resolve(waiting: list[tuple[asyncio.Future[bool], bool | GatewayError]]) -> None:
    for future, result in waiting:
        if future.done():
            continue
        if isinstance(result, GatewayError):
            future.set_exception(result)
        else:
            future.set_result(result)
