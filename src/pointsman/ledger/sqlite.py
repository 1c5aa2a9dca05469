"""SqliteLedger: attempts in one SQLite file, or in memory, by Python's own sqlite3.

Every write goes through one thread that commits in groups (`sqlite_writer`). The file is in WAL
mode, so that reading, which has a connection of its own, never waits for writing.
"""

import asyncio
import atexit
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from pointsman.core.budgets import Held, Hold
from pointsman.core.errors import LedgerUnavailable
from pointsman.ledger import (
    AuditLabel,
    BudgetRow,
    Durability,
    Intent,
    Label,
    Row,
    Settlement,
    State,
)
from pointsman.ledger.runs import begin_run, close_run
from pointsman.ledger.sqlite_bookings import Bookings, End, Hit, Holding, Reading, Work
from pointsman.ledger.sqlite_budgets import Releases, fill_in, rebuild, select_budgets
from pointsman.ledger.sqlite_contents import SqliteContents
from pointsman.ledger.sqlite_file import (
    MEMORY,
    Spare,
    open_for_reading,
    open_for_writing,
    transaction,
)
from pointsman.ledger.sqlite_labels import (
    audit_values,
    insert_audit,
    reading_values,
    select_audits,
    select_labels,
)
from pointsman.ledger.sqlite_outcomes import SqliteOutcomes
from pointsman.ledger.sqlite_quotas import book_within_quota
from pointsman.ledger.sqlite_rows import (
    feedback_values,
    insert_feedback,
    select_feedback,
    select_rows,
    storable_text,
)
from pointsman.ledger.sqlite_statements import Query, Values
from pointsman.ledger.sqlite_writer import GroupWriter

_NOT_CALLED = Settlement(state="voided", outcome="cancelled", cost_nanousd=0)

_log = logging.getLogger(__name__)


class SqliteLedger:
    """A `Ledger` in the file `path`; ":memory:" keeps it in memory, for libraries and tests.

    `durability`: "strict" syncs every group before it counts as written; "relaxed" syncs each
    second, so that a power cut (not a crash of the process) may take the last second.
    `busy_s`: how long a write waits while another process holds the file's lock.
    `queue_max`: how many writes may wait before more are refused. `writer` makes who writes them.

    Opening does the file's work at once, in the calling thread. Raises ConfigError when the file
    cannot be a ledger, LedgerUnavailable when it stays locked.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        durability: Durability = "strict",
        busy_s: float = 2.0,
        queue_max: int = 10_000,
        writer: Callable[..., GroupWriter] = GroupWriter,
    ) -> None:
        self._path = str(path)
        self._busy_s = busy_s
        connection = open_for_writing(self._path, durability=durability, busy_s=busy_s)
        is_file = self._path != MEMORY
        try:
            with transaction(connection):
                self._run, self._recovered = begin_run(connection)
        except sqlite3.Error as error:
            connection.close()
            raise LedgerUnavailable(f"ledger {self._path}: cannot be opened: {error}") from error
        if self._recovered:
            _log.warning("ledger %s: %d attempts were lost", self._path, self._recovered)
        self._connection = connection
        self._releases = Releases()
        self._bookings = Bookings(self._run, self._releases)
        spare = Spare(self._path) if is_file else None
        if spare:
            spare.make()
        self._writer = writer(
            connection,
            self._bookings,
            name=self._path,
            busy_s=busy_s,
            queue_max=queue_max,
            spare=spare,
            sync=_log_sync(self._path) if is_file and durability == "relaxed" else None,
        )
        # The writer's thread ends with the process: without this, what is queued would end with it.
        atexit.register(self._close)

    @property
    def recovered(self) -> int:
        """Return how many attempts of dead writers were closed when the file was opened."""
        return self._recovered

    async def reserve(self, intent: Intent, hold: Hold | None = None) -> Held | None:
        """Write an intent durably; a cancelled caller's is voided, since nothing was called."""
        try:
            if hold is not None or intent.tier_calls_max is not None:
                return await self._book(intent, hold)
            await self._writer.awaited(intent)
            return None
        except asyncio.CancelledError:
            self.close_attempt(intent.request_id, intent.attempt, _NOT_CALLED)
            if hold is not None:
                self.release(intent.request_id)
            raise

    async def settle(
        self, request_id: str, attempt: int, settlement: Settlement, *, is_last: bool = False
    ) -> None:
        """Write an attempt's end durably; the first one stays."""
        await self._writer.awaited(End(request_id, attempt, settlement, is_last), is_end=True)

    def close_attempt(self, request_id: str, attempt: int, settlement: Settlement) -> None:
        """Queue an attempt's end without waiting."""
        try:
            self._writer.submit(End(request_id, attempt, settlement), is_end=True)
        except LedgerUnavailable as error:
            # It stays open, and the next start closes it: late, but never under-counted.
            _log.error("ledger: attempt %s/%d stays open: %s", request_id, attempt, error)

    def release(self, request_id: str) -> None:
        """Queue giving back what a request holds."""
        apply = partial(self._releases.release, request_ids=(storable_text(request_id),))
        try:
            self._writer.submit(apply, is_end=True)
        except LedgerUnavailable as error:  # the next start releases it
            _log.error("ledger: request %s goes on holding: %s", request_id, error)

    async def reconcile(self, request_id: str, attempt: int, cost_nanousd: int) -> bool:
        """State what an `unknown` attempt cost."""
        apply = partial(fill_in, request_id=request_id, attempt=attempt, cost_nanousd=cost_nanousd)
        return await self._writer.awaited(apply)

    async def rebuild_budgets(self) -> int:
        """Compute what stands against budgets anew."""
        wrong: list[int] = []

        def apply(connection: sqlite3.Connection) -> bool:
            wrong.append(rebuild(connection))
            return True

        await self._writer.awaited(apply)
        return wrong[-1]

    def budgets(self) -> Iterator[BudgetRow]:
        """Yield what stands against budgets."""
        return self._read(select_budgets)

    async def book_hit(self, intent: Intent, settlement: Settlement) -> None:
        """Write an intent and its end in one transaction."""
        await self._writer.awaited(Hit(intent, settlement))

    async def book_feedback(self, request_id: str, tenant: str, score: float, at_ns: int) -> bool:
        """Keep a score for a request of this tenant; False when it has no such request."""
        values = feedback_values(request_id, tenant, score, at_ns)
        return await self._writer.awaited(partial(insert_feedback, values=values))

    def keep_reading(self, request_id: str, reading: str) -> None:
        """Queue a request's reading without waiting."""
        try:
            self._writer.submit(Reading(request_id, reading), is_end=False)
        except LedgerUnavailable as error:  # no reading is worth a request
            _log.debug("ledger: the reading of %s is not kept: %s", request_id, error)

    async def book_audit(self, label: AuditLabel, reading: str) -> None:
        """Keep a label and its request's reading in one transaction."""
        values, read = audit_values(label), reading_values(label.request_id, reading)
        await self._writer.awaited(partial(insert_audit, values=values, reading=read))

    def rows(
        self,
        *,
        since_ns: int = 0,
        until_ns: int | None = None,
        policy: str | None = None,
        state: State | None = None,
    ) -> Iterator[Row]:
        """Yield the rows with since_ns <= at_ns < until_ns, oldest first.

        Raises LedgerUnavailable when the file cannot be read.
        """
        select = partial(
            select_rows, since_ns=since_ns, until_ns=until_ns, policy=policy, state=state
        )
        return self._read(select)

    def feedback(self) -> Iterator[tuple[str, float]]:
        """Yield (request_id, latest score), by request id."""
        return self._read(select_feedback)

    def audits(self) -> Iterator[AuditLabel]:
        """Yield the audits' labels in the order of their booking."""
        return self._read(select_audits)

    def labels(self) -> Iterator[Label]:
        """Yield what can be learned from, audits first."""
        return self._read(select_labels)

    def outcomes(self, wall_ns: Callable[[], int]) -> SqliteOutcomes:
        """Return what came of requests with an Idempotency-Key, kept in the same file."""
        return SqliteOutcomes(self._writer, self._run, wall_ns)

    def contents(self, wall_ns: Callable[[], int], *, days: float) -> SqliteContents:
        """Return requests and answers in full, each kept for `days` in the same file."""
        return SqliteContents(self._writer, self._read, wall_ns, days=days)

    async def close(self) -> None:
        """Write what is queued, close what is still open as lost, and close the file."""
        self._writer.stop(self._end_run)
        await asyncio.to_thread(self._close)

    async def _book(self, intent: Intent, hold: Hold | None) -> Held | None:
        """Write an intent with its hold, within its quota."""
        taken: list[Held] = []
        work: Work = intent if hold is None else Holding(intent, hold, taken)
        if intent.tier_calls_max is not None:
            apply = partial(self._bookings.write, work=work)
            work = partial(book_within_quota, intent=intent, apply=apply)
        await self._writer.awaited(work)
        return taken[-1] if taken else None

    def _end_run(self, connection: sqlite3.Connection) -> bool:
        close_run(connection, self._run)
        return True

    def _close(self) -> None:
        atexit.unregister(self._close)
        self._writer.close(self._end_run)

    def _read(self, select: Callable[[Query], Iterator[Any]]) -> Iterator[Any]:
        try:
            if self._path == MEMORY:
                yield from select(self._query_memory)
                return
            with closing(open_for_reading(self._path, busy_s=self._busy_s)) as connection:
                yield from select(lambda sql, values: connection.execute(sql, values).fetchall())
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"ledger {self._path}: cannot be read: {error}") from error

    def _query_memory(self, sql: str, values: Values) -> list[Any]:
        with self._writer.lock:
            return self._connection.execute(sql, values).fetchall()


def _log_sync(path: str) -> Callable[[], None]:
    """Return what makes the write-ahead log durable, which `synchronous = NORMAL` never does alone.

    The log has no locks on it, so closing it here drops none, unlike the database itself.
    """

    def sync() -> None:
        log = os.open(f"{path}-wal", os.O_RDWR)
        try:
            os.fsync(log)
        finally:
            os.close(log)

    return sync
