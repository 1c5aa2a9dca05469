"""Outcomes in the ledger's SQLite file, written by its one writer."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from functools import partial

import msgspec

from pointsman.core.errors import IdempotencyInFlight, IdempotencyReused, LedgerUnavailable
from pointsman.ledger.outcomes import KEPT_S, Claim, KeptOutcome
from pointsman.ledger.runs import Process, is_alive
from pointsman.ledger.sqlite_rows import storable_text
from pointsman.ledger.sqlite_writer import GroupWriter

IN_FLIGHT_RETRY_AFTER_S = 1.0

_KEPT_NS = KEPT_S * 1_000_000_000
_SWEPT_ROWS = 500
_SELECT = """
SELECT digest, run, at_ns, status, headers, body FROM outcomes WHERE tenant = ? AND "key" = ?
"""
_CLAIM = """
INSERT OR REPLACE INTO outcomes (tenant, "key", digest, run, at_ns) VALUES (?, ?, ?, ?, ?)
"""
_KEEP = """
UPDATE outcomes SET status = ?, headers = ?, body = ?
WHERE tenant = ? AND "key" = ? AND run = ? AND at_ns = ? AND status IS NULL
"""
_FREE = """
DELETE FROM outcomes WHERE tenant = ? AND "key" = ? AND run = ? AND at_ns = ? AND status IS NULL
"""
_SWEEP = """
DELETE FROM outcomes WHERE rowid IN (SELECT rowid FROM outcomes WHERE at_ns < ? LIMIT ?)
"""

_HEADERS = msgspec.json.Decoder(tuple[tuple[str, str], ...])

_log = logging.getLogger(__name__)


class SqliteOutcomes:
    """`Outcomes` of the ledger that `writer` writes to, in its run `run`."""

    def __init__(self, writer: GroupWriter, run: int, wall_ns: Callable[[], int]) -> None:
        self._writer = writer
        self._run = run
        self._wall_ns = wall_ns
        self._last_ns = 0

    async def claim(self, tenant: str, key: str, digest: bytes) -> Claim | KeptOutcome:
        """Take a key, or return its outcome; a cancelled caller's claim is freed again."""
        self._last_ns = max(self._wall_ns(), self._last_ns + 1)
        claim = Claim(
            tenant=storable_text(tenant),
            key=storable_text(key),
            digest=digest,
            at_ns=self._last_ns,
        )
        found: list[KeptOutcome] = []
        apply = partial(_claim, claim=claim, run=self._run, found=found)
        try:
            is_taken = await self._writer.awaited(apply)
        except asyncio.CancelledError:
            self.free(claim)  # it may be taken all the same
            raise
        return claim if is_taken else found[-1]

    async def keep(self, claim: Claim, outcome: KeptOutcome) -> bool:
        """Keep what came of a request."""
        return await self._writer.awaited(
            partial(_keep, claim=claim, run=self._run, outcome=outcome)
        )

    def free(self, claim: Claim) -> None:
        """Queue giving a key back."""
        try:
            self._writer.submit(partial(_free, claim=claim, run=self._run), is_end=True)
        except LedgerUnavailable as error:  # a restart frees it
            _log.error("ledger: an Idempotency-Key stays claimed: %s", error)

    async def sweep(self) -> None:
        """Delete what is too old, some rows at a time: others want to write in between."""
        before_ns = self._wall_ns() - _KEPT_NS
        while await self._writer.awaited(partial(_sweep, before_ns=before_ns)):
            pass


def _claim(
    connection: sqlite3.Connection, *, claim: Claim, run: int, found: list[KeptOutcome]
) -> bool:
    """Take the key and return True, or add its outcome to `found`."""
    row = connection.execute(_SELECT, (claim.tenant, claim.key)).fetchone()
    if row is not None and claim.at_ns - row[2] < _KEPT_NS:
        digest, its_run, _, status, headers, body = row
        if status is not None or _is_running(connection, its_run, ours=run):
            if digest != claim.digest:
                raise IdempotencyReused(
                    "another request had this Idempotency-Key in the last 24 hours;"
                    " send one of its own with each request"
                )
            if status is None:
                raise IdempotencyInFlight(
                    "the first request with this Idempotency-Key is still at work; ask again",
                    retry_after_s=IN_FLIGHT_RETRY_AFTER_S,
                )
            found.append(KeptOutcome(status=status, headers=_HEADERS.decode(headers), body=body))
            return False
    _sweep(connection, before_ns=claim.at_ns - _KEPT_NS)  # nobody else may be there to do it
    connection.execute(_CLAIM, (claim.tenant, claim.key, claim.digest, run, claim.at_ns))
    return True


def _is_running(connection: sqlite3.Connection, run: int, *, ours: int) -> bool:
    if run == ours:
        return True
    query = "SELECT home, pid, started FROM runs WHERE run = ?"
    writer = connection.execute(query, (run,)).fetchone()
    return writer is not None and is_alive(Process(*writer))


def _keep(connection: sqlite3.Connection, *, claim: Claim, run: int, outcome: KeptOutcome) -> bool:
    headers = msgspec.json.encode(outcome.headers).decode()
    values = (outcome.status, headers, outcome.body, claim.tenant, claim.key, run, claim.at_ns)
    return connection.execute(_KEEP, values).rowcount > 0


def _free(connection: sqlite3.Connection, *, claim: Claim, run: int) -> bool:
    values = (claim.tenant, claim.key, run, claim.at_ns)
    return connection.execute(_FREE, values).rowcount > 0


def _sweep(connection: sqlite3.Connection, *, before_ns: int) -> bool:
    return connection.execute(_SWEEP, (before_ns, _SWEPT_ROWS)).rowcount == _SWEPT_ROWS
