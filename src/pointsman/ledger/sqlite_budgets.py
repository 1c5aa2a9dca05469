"""Budgets in the ledger's file: checked, held and given back inside the writer's transaction.

A row of `budgets` says of one scope and window what its requests have cost that hold nothing any
more (`nanousd`), and what the others hold (`held_nanousd`: the sum of the rows of `holds` that name
it). A request counts in the window in which its first attempt began. An attempt of which nobody
can say what it was charged counts with its worst case.

A scope and window that have no row yet get theirs from the attempts that are booked already: a
budget that is stated at noon knows of the morning. So `rebuilt` can compute every row anew, and
finds what is there.
"""

import logging
import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from pointsman.core.budgets import (
    KEY,
    NANOUSD_MAX,
    TAG,
    Held,
    Hold,
    Limit,
    Spent,
    largest_fitting,
    scopes_of,
    tag_of,
    window_bounds,
    windows_at,
)
from pointsman.ledger import AUDIT, BudgetRow
from pointsman.ledger.sqlite_rows import Query, storable_text, storable_whole

_SELECT_BUDGET = 'SELECT nanousd, held_nanousd FROM budgets WHERE scope = ? AND "window" = ?'
_INSERT_BUDGET = 'INSERT INTO budgets (scope, "window", nanousd, held_nanousd) VALUES (?, ?, ?, ?)'
# The bound (4 * NANOUSD_MAX) keeps a lying upstream's tokens, of many requests, within 64 bits.
_ADD = """
UPDATE budgets SET
    nanousd = min(nanousd + ?1, 4000000000000000000), held_nanousd = held_nanousd + ?2
WHERE scope = ?3 AND "window" = ?4
"""
_INSERT_HOLD = "INSERT INTO holds (request_id, run, nanousd, limits) VALUES (?, ?, ?, ?)"
_SELECT_HOLD = "SELECT nanousd, limits FROM holds WHERE request_id = ?"
# What each attempt counts, and whether it is still open: then it counts with its worst case too.
_SELECT_ATTEMPTS = """
SELECT CASE WHEN e.state = 'voided' THEN 0
    ELSE coalesce(e.cost_nanousd, i.worst_case_nanousd, 0) END, e.state IS NULL
FROM intents AS i LEFT JOIN ends AS e ON e.request_id = i.request_id AND e.attempt = i.attempt
WHERE i.request_id = ?
"""
# Summed in two parts: SQLite's sum() fails beyond 64 bits, and its total() is not exact.
# Of the requests of everybody; of clients (no audits) with a key (?4 "key", ?5 its name); or with a
# tag (?5 its name, ?6 its value): each by an index of its own. Without those that hold something of
# this limit (?3).
_SUM = """
SELECT coalesce(sum(counted / 1000000000), 0), coalesce(sum(counted % 1000000000), 0) FROM (
    SELECT CASE WHEN e.state = 'voided' THEN 0
        ELSE coalesce(e.cost_nanousd, i.worst_case_nanousd, 0) END AS counted
    FROM (
        SELECT request_id FROM intents
        WHERE ?4 = 'all' AND attempt = 1 AND at_ns >= ?1 AND at_ns < ?2
        UNION ALL
        SELECT request_id FROM intents
        WHERE ?4 = 'key' AND attempt = 1 AND "key" = ?5 AND at_ns >= ?1 AND at_ns < ?2
            AND policy <> 'audit'
        UNION ALL
        SELECT request_id FROM intents
        WHERE ?4 = 'tag' AND attempt = 1 AND at_ns >= ?1 AND at_ns < ?2
            AND policy <> 'audit' AND json_valid(tags) AND EXISTS (
                SELECT 1 FROM json_each(tags) AS tag WHERE tag.key = ?5 AND tag.value = ?6)
    ) AS f
    JOIN intents AS i ON i.request_id = f.request_id
    LEFT JOIN ends AS e ON e.request_id = i.request_id AND e.attempt = i.attempt
    WHERE NOT EXISTS (
        SELECT 1 FROM holds AS h, json_each(h.limits) AS named
        WHERE h.request_id = f.request_id AND named.value = ?3))
"""
# Made with the first budget of a key: ledgers without one need not keep it up. Without it, each
# key's first request of a month would look through all the month's rows.
_INDEX_KEYS = 'CREATE INDEX IF NOT EXISTS intents_by_key ON intents ("key", at_ns)'
_SUM_HELD = """
SELECT coalesce(sum(h.nanousd), 0) FROM holds AS h, json_each(h.limits) AS named
WHERE named.value = ?
"""
_SELECT_UNKNOWN = """
SELECT coalesce(i.worst_case_nanousd, 0), f."key", f.tags, f.policy, f.at_ns
FROM ends AS e
JOIN intents AS i ON i.request_id = e.request_id AND i.attempt = e.attempt
JOIN intents AS f ON f.request_id = e.request_id AND f.attempt = 1
WHERE e.request_id = ? AND e.attempt = ? AND e.state = 'unknown' AND e.cost_nanousd IS NULL
"""
_FILL_IN = "UPDATE ends SET cost_nanousd = ? WHERE request_id = ? AND attempt = ?"

_log = logging.getLogger(__name__)


class Releases:
    """Gives holds back for one writer, in its thread: what is held lasts until all has ended.

    A release may come before the last end is written, when the disk was full meanwhile, say. Then
    it is done with that end, and remembered all the same: the transaction that gave the hold back
    may be undone, and then the next one is to do it.
    """

    def __init__(self) -> None:
        self._late: set[str] = set()

    def release(self, connection: sqlite3.Connection, request_id: str) -> bool:
        """Give a request's hold back, now or with its last end; False where there is none."""
        is_held = _release(connection, request_id, is_over=False)
        if is_held is None:
            self._late.add(request_id)
            return True
        if not is_held:
            self._late.discard(request_id)
        return is_held

    def note_ends(self, connection: sqlite3.Connection, request_ids: Iterable[str]) -> None:
        """Give the holds back where these were the ends that they waited for."""
        for request_id in self._late.intersection(request_ids) if self._late else ():
            self.release(connection, request_id)


def take(connection: sqlite3.Connection, request_id: str, hold: Hold, run: int) -> Held:
    """Check every limit of a hold, and take the most that fits them all.

    Raises BudgetExceeded; then nothing has changed.
    """
    before = [_spent(connection, limit) for limit in hold.limits]
    amount = largest_fitting(hold.amounts, before)
    names = msgspec.json.encode([_name(limit.scope, limit.window) for limit in hold.limits])
    connection.execute(_INSERT_HOLD, (request_id, run, amount, names.decode()))
    connection.executemany(
        _ADD, [(0, amount, storable_text(each.scope), each.window) for each in hold.limits]
    )
    after = (Spent(each.limit, each.nanousd, each.held_nanousd + amount) for each in before)
    return Held(amount, tuple(after))


def held(connection: sqlite3.Connection, request_id: str, hold: Hold) -> Held:
    """Return what a request holds already, nothing where it has ended."""
    found = connection.execute(_SELECT_HOLD, (request_id,)).fetchone()
    spent = tuple(_spent(connection, limit) for limit in hold.limits)
    return Held(found[0] if found else 0, spent)


def release_run(connection: sqlite3.Connection, run: int) -> None:
    """Give back what a run holds that is over; what it left open counts with its worst case."""
    query = "SELECT request_id FROM holds WHERE run = ?"
    for (request_id,) in connection.execute(query, (run,)).fetchall():
        _release(connection, request_id, is_over=True)


def fill_in(
    connection: sqlite3.Connection, request_id: str, attempt: int, cost_nanousd: int
) -> bool:
    """State what an `unknown` attempt cost, once; return False where there is nothing to state."""
    found = connection.execute(_SELECT_UNKNOWN, (request_id, attempt)).fetchone()
    if found is None:
        return False
    worst, key, tags, policy, at_ns = found
    cost = min(max(0, cost_nanousd), NANOUSD_MAX)
    connection.execute(_FILL_IN, (cost, request_id, attempt))
    if connection.execute(_SELECT_HOLD, (request_id,)).fetchone() is None:
        scopes = scopes_of(key, _decoded_tags(tags), is_audit=policy == AUDIT)
        difference = cost - min(worst, NANOUSD_MAX)
        rows = [(difference, 0, scope, each) for scope in scopes for each in windows_at(at_ns)]
        connection.executemany(_ADD, rows)
    return True


def rebuild(connection: sqlite3.Connection) -> int:
    """Compute every row of `budgets` from the attempts and holds; return how many were wrong."""
    query = _querying(connection)
    wrong = set(rebuilt(query)) - set(select_budgets(query))
    for row in wrong:
        connection.execute(
            'UPDATE budgets SET nanousd = ?, held_nanousd = ? WHERE scope = ? AND "window" = ?',
            (row.nanousd, row.held_nanousd, row.scope, row.window),
        )
    return len(wrong)


def rebuilt(query: Query) -> Iterator[BudgetRow]:
    """Yield what the rows of `budgets` should be, from the attempts and holds alone."""
    for row in select_budgets(query):
        name = _name(row.scope, row.window)
        ((held_nanousd,),) = query(_SUM_HELD, (name,))
        yield BudgetRow(row.scope, row.window, _sum(query, row.scope, row.window), held_nanousd)


def select_budgets(query: Query) -> Iterator[BudgetRow]:
    """Yield the rows of `budgets`, by scope, the latest window first."""
    sql = 'SELECT scope, "window", nanousd, held_nanousd FROM budgets ORDER BY scope, "window" DESC'
    for found in query(sql, ()):
        yield BudgetRow(*found)


def _release(connection: sqlite3.Connection, request_id: str, *, is_over: bool) -> bool | None:
    """Give a hold back; False where there is none, None where an attempt may still cost more.

    `is_over`: no attempt does, whether or not its end was written.
    """
    found = connection.execute(_SELECT_HOLD, (request_id,)).fetchone()
    if found is None:
        return False
    amount, names = found
    attempts = connection.execute(_SELECT_ATTEMPTS, (request_id,)).fetchall()
    if not is_over and any(is_open for _, is_open in attempts):
        return None
    spent = min(sum(counted for counted, _ in attempts), NANOUSD_MAX)
    if spent > amount:
        _log.warning(
            "ledger: request %s may have cost %d nano-USD and held %d: its input had more tokens"
            " than estimated, or its answer more than allowed",
            request_id,
            spent,
            amount,
        )
    connection.executemany(
        _ADD,
        [(spent, -amount, *_parts(name)) for name in msgspec.json.decode(names, type=list[str])],
    )
    connection.execute("DELETE FROM holds WHERE request_id = ?", (request_id,))
    return True


def _spent(connection: sqlite3.Connection, limit: Limit) -> Spent:
    scope = storable_text(limit.scope)
    found = connection.execute(_SELECT_BUDGET, (scope, limit.window)).fetchone()
    if found is None:
        if limit.scope.startswith(f"{KEY}:"):
            connection.execute(_INDEX_KEYS)
        found = _sum(_querying(connection), scope, limit.window), 0
        connection.execute(_INSERT_BUDGET, (scope, limit.window, *found))
    return Spent(limit, *found)


def _sum(query: Query, scope: str, window: str) -> int:
    """Return what the attempts of a scope and window count, without those that a hold covers."""
    kind, _, rest = scope.partition(":")
    named = tag_of(scope) if kind == TAG else (rest, "")
    values = (*window_bounds(window), _name(scope, window), kind, *named)
    ((billions, rest_nanousd),) = query(_SUM, values)
    return storable_whole(min(billions * 1_000_000_000 + rest_nanousd, 4 * NANOUSD_MAX))


def _querying(connection: sqlite3.Connection) -> Query:
    return lambda sql, values: connection.execute(sql, values).fetchall()


def _name(scope: str, window: str) -> str:
    return f"{window} {storable_text(scope)}"


def _parts(name: str) -> tuple[str, str]:
    window, _, scope = name.partition(" ")
    return scope, window


def _decoded_tags(tags: str) -> dict[str, str]:
    try:
        return msgspec.json.decode(tags, type=dict[str, str])
    except msgspec.DecodeError:
        return {}
