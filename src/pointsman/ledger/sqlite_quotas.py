"""Quotas in the ledger's file: how many calls of a tier a key may make in one UTC day.

Counted in the writer's transaction, from the intents themselves, so a quota is exact for all
processes of one file, over restarts and crashes, and nothing has to be given back.
"""

import sqlite3

from pointsman.core.budgets import key_scope, window_bounds, windows_at
from pointsman.core.errors import QuotaExceeded
from pointsman.ledger import AUDIT, Intent
from pointsman.ledger.sqlite_rows import storable_text, storable_whole

# Made with the first quota: ledgers without one need not keep it up.
_INDEX = 'CREATE INDEX IF NOT EXISTS intents_by_key_tier ON intents ("key", tier, at_ns)'
_COUNT = """
SELECT count(*) FROM intents
WHERE "key" = ? AND tier = ? AND at_ns >= ? AND at_ns < ? AND policy <> ?
    AND (request_id, attempt) <> (?, ?)
"""


def check_quota(connection: sqlite3.Connection, intent: Intent) -> None:
    """Raise QuotaExceeded where an intent would be one call of its tier too many."""
    if intent.tier_calls_max is None or intent.policy == AUDIT:
        return
    day, _ = windows_at(intent.at_ns)
    start_ns, end_ns = map(storable_whole, window_bounds(day))
    connection.execute(_INDEX)
    of_whom = (storable_text(intent.key), storable_text(intent.tier), start_ns, end_ns, AUDIT)
    itself = (storable_text(intent.request_id), intent.attempt)
    ((calls,),) = connection.execute(_COUNT, (*of_whom, *itself)).fetchall()
    if calls >= intent.tier_calls_max:
        raise QuotaExceeded(
            f'key "{intent.key}": its {intent.tier_calls_max} calls of tier "{intent.tier}" on'
            f" {day} are used up; ask for another tier, or wait for the next day (UTC)",
            scope=key_scope(intent.key),
            window=day,
        )
