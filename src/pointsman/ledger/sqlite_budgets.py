"""Budgets in the ledger's file: checked, held and given back inside the writer's transaction.

A row of `budgets` says of one scope and window what its requests have cost that hold nothing any
more (`nanousd`), and what the others hold (`held_nanousd`: the sum of the rows of `live` that name
it). A request counts in the window in which its first attempt began. An attempt of which nobody
can say what it was charged counts with its worst case.

A scope and window that have no row yet get theirs from the attempts that are booked already: a
budget that is stated at noon knows of the morning. So `rebuilt` can compute every row anew, and
finds what is there.
"""

import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

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
from pointsman.core.errors import BudgetExceeded
from pointsman.ledger import AUDIT, BudgetRow
from pointsman.ledger.sqlite_rows import storable_text, storable_whole
from pointsman.ledger.sqlite_statements import Among, Query, Values, everywhere

_SELECT_BUDGET = 'SELECT nanousd, held_nanousd FROM budgets WHERE scope = ? AND "window" = ?'
_INSERT_BUDGET = 'INSERT INTO budgets (scope, "window", nanousd, held_nanousd) VALUES (?, ?, ?, ?)'
# The bound (4 * NANOUSD_MAX) keeps a lying upstream's tokens, of many requests, within 64 bits.
_ADD = """
UPDATE budgets SET
    nanousd = min(nanousd + ?, 4000000000000000000), held_nanousd = held_nanousd + ?
WHERE scope = ? AND "window" = ?
"""
_SELECT_HOLD = """
SELECT held_nanousd FROM live WHERE request_id = ? AND held_nanousd IS NOT NULL
"""
_LET_GO = Among("UPDATE live SET held_nanousd = NULL, limits = NULL WHERE request_id")
_COUNTED = """CASE WHEN e.state = 'voided' THEN 0
    ELSE coalesce(e.cost_nanousd, i.worst_case_nanousd, 0) END"""
# What each attempt counts, whether it is still open (then it counts with its worst case too), and
# what is held by it. All of a request that holds something is live.
_SELECT_ATTEMPTS = Among(f"""
SELECT e.request_id, {_COUNTED.replace("i.", "e.")}, e.state IS NULL, e.held_nanousd, e.limits
FROM live AS e WHERE e.request_id""")
# The first attempts of a window: of everybody; of clients (no audits) with a key (?4 "key", ?5 its
# name); or with a tag (?5 its name, ?6 its value): each by an index of its own.
_FIRST = "FROM {intents} WHERE attempt = 1 AND at_ns >= ?1 AND at_ns < ?2 AND ?4 ="
_FIRSTS = " UNION ALL ".join(
    everywhere(f"SELECT request_id {_FIRST} {which}")
    for which in (
        "'all'",
        """'key' AND "key" = ?5 AND policy <> 'audit'""",
        """'tag' AND policy <> 'audit' AND json_valid(tags) AND EXISTS (
            SELECT 1 FROM json_each(tags) AS tag WHERE tag.key = ?5 AND tag.value = ?6)""",
    )
)
# Summed in two parts: SQLite's sum() fails beyond 64 bits, and its total() is not exact.
# Without requests that hold something of this limit (?3).
_COUNTED_EVERYWHERE = everywhere(f"""
SELECT {_COUNTED} AS counted
FROM firsts AS f
CROSS JOIN {{intents}} AS i ON i.request_id = f.request_id
CROSS JOIN {{ends}} AS e ON e.request_id = i.request_id AND e.attempt = i.attempt
WHERE NOT EXISTS (
    SELECT 1 FROM live AS h, json_each(h.limits) AS named
    WHERE h.request_id = f.request_id AND named.value = ?3)
""")
_SUM = f"""
WITH firsts AS ({_FIRSTS})
SELECT coalesce(sum(counted / 1000000000), 0), coalesce(sum(counted % 1000000000), 0)
FROM ({_COUNTED_EVERYWHERE})
"""
# Made with the first budget of a key: ledgers without one need not keep it up. Without it, each
# key's first request of a month would look through all the month's rows.
_INDEX_KEYS = 'CREATE INDEX IF NOT EXISTS intents_by_key ON past_intents ("key", at_ns)'
_SUM_HELD = """
SELECT coalesce(sum(h.held_nanousd), 0) FROM live AS h, json_each(h.limits) AS named
WHERE named.value = ?
"""
_SELECT_UNKNOWN = everywhere("""
SELECT coalesce(i.worst_case_nanousd, 0)
FROM {intents} AS i JOIN {ends} AS e ON e.request_id = i.request_id AND e.attempt = i.attempt
WHERE i.request_id = ?1 AND i.attempt = ?2 AND e.state = 'unknown' AND e.cost_nanousd IS NULL
""")
_SELECT_FIRST = everywhere("""
SELECT "key", tags, policy, at_ns FROM {intents} WHERE request_id = ?1 AND attempt = 1
""")
_FILL_IN = tuple(
    f"UPDATE {table} SET cost_nanousd = ? WHERE request_id = ? AND attempt = ?"
    for table in ("live", "past_ends")
)

_log = logging.getLogger(__name__)


class Releases:
    """Gives holds back for one writer, in its thread: what is held lasts until all has ended.

    A release may come before the last end is written, when the disk was full meanwhile, say. Then
    it is done with that end, and remembered all the same: the transaction that gave the hold back
    may be undone, and then the next one is to do it.
    """

    def __init__(self) -> None:
        self._late: set[str] = set()

    def release(self, connection: sqlite3.Connection, request_ids: Sequence[str]) -> bool:
        """Give the requests' holds back, now or with their last ends; False where there is none."""
        released, waiting = _release(connection, request_ids, is_over=False)
        self._late.difference_update(set(request_ids) - released)
        self._late |= waiting
        return bool(released or waiting)

    def note_ends(self, connection: sqlite3.Connection, request_ids: Iterable[str]) -> None:
        """Give the holds back where these were the ends that they waited for."""
        if self._late and (ended := self._late.intersection(request_ids)):
            self.release(connection, sorted(ended))


def take(connection: sqlite3.Connection, hold: Hold) -> Held:
    """Check every limit of a hold, and count the most that fits them all as held.

    The caller writes it to the attempt's row (`held_values`). Raises BudgetExceeded; then nothing
    has changed.
    """
    (taken,) = take_all(connection, (hold,))
    if isinstance(taken, BudgetExceeded):
        raise taken
    return taken


def take_all(connection: sqlite3.Connection, holds: Iterable[Hold]) -> list[Held | BudgetExceeded]:
    """Take one hold after the other; return what was taken of each, or why nothing was."""
    stands: dict[tuple[str, str], tuple[int, int]] = {}
    added: Counter[tuple[str, str]] = Counter()
    results: list[Held | BudgetExceeded] = []
    for hold in holds:
        places = [(limit.scope, limit.window) for limit in hold.limits]
        for place in places:
            if place not in stands:
                stands[place] = _stands(connection, *place)
        before = [
            Spent(limit, *stands[place]) for limit, place in zip(hold.limits, places, strict=True)
        ]
        try:
            amount = largest_fitting(hold.amounts, before)
        except BudgetExceeded as refusal:
            results.append(refusal)
            continue
        for place in places:
            nanousd, held_nanousd = stands[place]
            stands[place] = nanousd, held_nanousd + amount
            added[place] += amount
        after = (Spent(each.limit, each.nanousd, each.held_nanousd + amount) for each in before)
        results.append(Held(amount, tuple(after)))
    connection.executemany(
        _ADD,
        [(0, amount, storable_text(scope), window) for (scope, window), amount in added.items()],
    )
    return results


def held_values(hold: Hold, taken: Held) -> Values:
    """Return what the row of a request's first attempt says of its hold."""
    return taken.nanousd, _names(hold.limits)


def held(connection: sqlite3.Connection, request_id: str, hold: Hold) -> Held:
    """Return what a request holds already, nothing where it has ended."""
    found = connection.execute(_SELECT_HOLD, (request_id,)).fetchone()
    spent = tuple(
        Spent(limit, *_stands(connection, limit.scope, limit.window)) for limit in hold.limits
    )
    return Held(found[0] if found else 0, spent)


def release_run(connection: sqlite3.Connection, run: int) -> None:
    """Give back what a run holds that is over; what it left open counts with its worst case."""
    query = "SELECT request_id FROM live WHERE run = ? AND held_nanousd IS NOT NULL"
    found = connection.execute(query, (run,)).fetchall()
    _release(connection, [request_id for (request_id,) in found], is_over=True)


def fill_in(
    connection: sqlite3.Connection, request_id: str, attempt: int, cost_nanousd: int
) -> bool:
    """State what an `unknown` attempt cost, once; return False where there is nothing to state."""
    unknown = connection.execute(_SELECT_UNKNOWN, (request_id, attempt)).fetchone()
    first = connection.execute(_SELECT_FIRST, (request_id,)).fetchone()
    if unknown is None or first is None:
        return False
    (worst,), (key, tags, policy, at_ns) = unknown, first
    cost = min(max(0, cost_nanousd), NANOUSD_MAX)
    for update in _FILL_IN:
        connection.execute(update, (cost, request_id, attempt))
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


def _release(
    connection: sqlite3.Connection, request_ids: Sequence[str], *, is_over: bool
) -> tuple[set[str], set[str]]:
    """Give holds back; return whose, and whose are held on, as an attempt may still cost more.

    `is_over`: no attempt does, whether or not its end was written.
    """
    holds: list[tuple[str, int, str]] = []
    costs: Counter[str] = Counter()
    waiting: set[str] = set()
    for request_id, counted, is_open, amount, limits in _SELECT_ATTEMPTS.about(
        connection, request_ids
    ):
        costs[request_id] += counted
        if amount is not None:
            holds.append((request_id, amount, limits))
        if is_open and not is_over:
            waiting.add(request_id)
    waiting.intersection_update([hold[0] for hold in holds])
    released: set[str] = set()
    added: dict[str, tuple[int, int]] = {}
    for request_id, amount, names in holds:
        if request_id in waiting:
            continue
        released.add(request_id)
        spent = min(costs[request_id], NANOUSD_MAX)
        if spent > amount:
            _log.warning(
                "ledger: request %s may have cost %d nano-USD and held %d: its input had more"
                " tokens than estimated, or its answer more than allowed",
                request_id,
                spent,
                amount,
            )
        for name in msgspec.json.decode(names, type=list[str]):
            nanousd, held_nanousd = added.get(name, (0, 0))
            added[name] = min(nanousd + spent, 4 * NANOUSD_MAX), held_nanousd - amount
    connection.executemany(_ADD, [(*sums, *_parts(name)) for name, sums in added.items()])
    _LET_GO.about(connection, sorted(released))
    return released, waiting


def _stands(connection: sqlite3.Connection, scope: str, window: str) -> tuple[int, int]:
    """Return what is spent and held of a scope and window, its row made where there is none."""
    stored = storable_text(scope)
    found: tuple[int, int] | None = connection.execute(_SELECT_BUDGET, (stored, window)).fetchone()
    if found is None:
        if scope.startswith(f"{KEY}:"):
            connection.execute(_INDEX_KEYS)
        found = _sum(_querying(connection), stored, window), 0
        connection.execute(_INSERT_BUDGET, (stored, window, *found))
    return found


@lru_cache(maxsize=256)
def _names(limits: tuple[Limit, ...]) -> str:
    return msgspec.json.encode([_name(limit.scope, limit.window) for limit in limits]).decode()


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
