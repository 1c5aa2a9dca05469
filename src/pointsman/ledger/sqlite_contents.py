"""Contents in the ledger's SQLite file, written by its one writer."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial

from pointsman.core.errors import LedgerUnavailable
from pointsman.ledger.contents import Content
from pointsman.ledger.sqlite_rows import storable_text
from pointsman.ledger.sqlite_statements import Query
from pointsman.ledger.sqlite_writer import GroupWriter

_DAY_NS = 24 * 60 * 60 * 1_000_000_000
_SWEPT_ROWS = _PAGE_ROWS = 100
_INSERT = """
INSERT OR IGNORE INTO contents (request_id, tenant, at_ns, request, answer) VALUES (?, ?, ?, ?, ?)
"""
_SWEEP = """
DELETE FROM contents WHERE rowid IN (SELECT rowid FROM contents WHERE at_ns < ? LIMIT ?)
"""
_SELECT = """
SELECT request_id, tenant, at_ns, request, answer, rowid FROM contents WHERE rowid > ?
ORDER BY rowid LIMIT ?
"""

_log = logging.getLogger(__name__)

Read = Callable[[Callable[[Query], Iterator[Content]]], Iterator[Content]]


class SqliteContents:
    """`Contents` of the ledger that `writer` writes to and `read` reads."""

    def __init__(
        self, writer: GroupWriter, read: Read, wall_ns: Callable[[], int], *, days: float
    ) -> None:
        self._writer = writer
        self._read = read
        self._wall_ns = wall_ns
        self._days = days
        writer.submit(_overwrite_what_is_deleted, is_end=False)

    def keep(self, *, request_id: str, tenant: str, request: bytes, answer: str) -> None:
        """Queue a content without waiting."""
        values = (
            storable_text(request_id),
            storable_text(tenant),
            self._wall_ns(),
            request,
            answer.encode("utf-8", "replace"),
        )
        insert = partial(_insert, values=values, before_ns=self._before_ns())
        try:
            self._writer.submit(insert, is_end=False)
        except LedgerUnavailable as error:  # no copy is worth a request
            _log.warning("ledger: the content of %s is not kept: %s", request_id, error)

    async def sweep(self) -> None:
        """Delete what is too old, some rows at a time: others want to write in between."""
        while await self._writer.awaited(partial(_sweep, before_ns=self._before_ns())):
            pass

    def read(self) -> Iterator[Content]:
        """Yield what is kept, oldest first."""
        return self._read(_select)

    def _before_ns(self) -> int:
        return self._wall_ns() - round(self._days * _DAY_NS)


def _overwrite_what_is_deleted(connection: sqlite3.Connection) -> bool:
    """Have what is deleted be gone from the file too. Source: sqlite.org/pragma.html."""
    connection.execute("PRAGMA secure_delete = ON")
    return True


def _insert(
    connection: sqlite3.Connection, *, values: tuple[str | int | bytes, ...], before_ns: int
) -> bool:
    """Add a content, and delete some that are too old: nobody else may be there to do it."""
    _sweep(connection, before_ns=before_ns)
    return connection.execute(_INSERT, values).rowcount > 0


def _sweep(connection: sqlite3.Connection, *, before_ns: int) -> bool:
    return connection.execute(_SWEEP, (before_ns, _SWEPT_ROWS)).rowcount == _SWEPT_ROWS


def _select(query: Query) -> Iterator[Content]:
    position = 0
    while page := query(_SELECT, (position, _PAGE_ROWS)):
        for request_id, tenant, at_ns, request, answer, _ in page:
            yield Content(
                request_id=request_id,
                tenant=tenant,
                at_ns=at_ns,
                request=request,
                answer=answer.decode(),
            )
        position = page[-1][-1]
