"""Quotas in the ledger's file: how many calls of a tier a key may make in one UTC day.

Counted in the writer's transaction, with the intents themselves, so a quota is exact for all
processes of one file, over restarts and crashes, and nothing has to be given back. A key's first
call of a tier in a day counts what is booked already; after that there is one row to look at,
however much the key asks: hits, which are free, could else hold up everybody's writes.
"""

import sqlite3
from collections.abc import Callable

from pointsman.core.budgets import key_scope, window_bounds, windows_at
from pointsman.core.errors import QuotaExceeded
from pointsman.ledger import AUDIT, Intent
from pointsman.ledger.sqlite_rows import storable_text, storable_whole
from pointsman.ledger.sqlite_statements import everywhere

# Made with the first quota: ledgers without one need neither.
_TABLE = """
CREATE TABLE IF NOT EXISTS quotas (
    "key" TEXT NOT NULL, tier TEXT NOT NULL, day TEXT NOT NULL, calls INTEGER NOT NULL,
    PRIMARY KEY ("key", tier, day)
) WITHOUT ROWID
"""
_INDEX = 'CREATE INDEX IF NOT EXISTS intents_by_key ON past_intents ("key", at_ns)'
_SELECT = 'SELECT calls FROM quotas WHERE "key" = ? AND tier = ? AND day = ?'
_INSERT = 'INSERT INTO quotas ("key", tier, day, calls) VALUES (?, ?, ?, ?)'
_ADD = 'UPDATE quotas SET calls = calls + 1 WHERE "key" = ? AND tier = ? AND day = ?'
_SELECT_INTENT = everywhere("SELECT 1 FROM {intents} WHERE request_id = ?1 AND attempt = ?2")
_CALLS = everywhere("""
SELECT 1 FROM {intents} AS i
JOIN {ends} AS e ON e.request_id = i.request_id AND e.attempt = i.attempt
WHERE i."key" = ?1 AND i.tier = ?2 AND i.at_ns >= ?3 AND i.at_ns < ?4 AND i.policy <> ?5
    AND e.outcome <> 'hit'
""")
_COUNT = f"SELECT count(*) FROM ({_CALLS})"


def book_within_quota(
    connection: sqlite3.Connection, *, intent: Intent, apply: Callable[[sqlite3.Connection], bool]
) -> bool:
    """Have an intent booked by `apply`, and counted where it is new; return whether it was.

    Raises QuotaExceeded where it would be one call of its tier too many, and what `apply` raises.
    """
    if intent.tier_calls_max is None or intent.policy == AUDIT:
        return apply(connection)
    day, _ = windows_at(intent.at_ns)
    row = (storable_text(intent.key), storable_text(intent.tier), day)
    calls = _calls(connection, row)
    itself = connection.execute(
        _SELECT_INTENT, (storable_text(intent.request_id), intent.attempt)
    ).fetchone()
    if calls >= intent.tier_calls_max and itself is None:
        raise QuotaExceeded(
            f'key "{intent.key}": its {intent.tier_calls_max} calls of tier "{intent.tier}" on'
            f" {day} are used up; ask for another tier, or wait for the next day (UTC)",
            scope=key_scope(intent.key),
            window=day,
        )
    is_new = apply(connection)
    if is_new:
        connection.execute(_ADD, row)
    return is_new


def _calls(connection: sqlite3.Connection, row: tuple[str, str, str]) -> int:
    """Return how many calls a key has made of a tier on a day, its row made where there is none."""
    connection.execute(_TABLE)
    found = connection.execute(_SELECT, row).fetchone()
    if found is None:
        connection.execute(_INDEX)
        key, tier, day = row
        start_ns, end_ns = map(storable_whole, window_bounds(day))
        found = connection.execute(_COUNT, (key, tier, start_ns, end_ns, AUDIT)).fetchone()
        connection.execute(_INSERT, (*row, *found))
    return int(found[0])
