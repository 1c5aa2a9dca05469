"""The ledger's SQL: what is written and read, and how rows become numbers and text and back."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from msgspec.structs import astuple

from pointsman.core.errors import LedgerUnavailable
from pointsman.core.usage import Usage
from pointsman.ledger import Intent, Row, Settlement, State
from pointsman.ledger.sqlite_schema import END_COLUMNS, INTENT_COLUMNS, of
from pointsman.ledger.sqlite_statements import Many, Query, Value, Values, everywhere, page_of

_INT_MAX = 2**63 - 1
PAGE_ROWS = 500
NOTHING_HELD = (None, None)

# What is past is looked at and not only what is live: an old request id must not come again.
_UNLESS_PAST = """) AS new WHERE NOT EXISTS (SELECT 1 FROM past_intents AS p
    WHERE p.request_id = new.column1 AND p.attempt = new.column2)"""
INSERT_INTENTS = Many(
    f"""INSERT OR FAIL INTO live ({INTENT_COLUMNS}, run, held_nanousd, limits)
    SELECT * FROM (VALUES""",
    17,
    _UNLESS_PAST,
)
INSERT_HITS = Many(
    f"INSERT OR FAIL INTO live ({INTENT_COLUMNS}, run, {END_COLUMNS}) SELECT * FROM (VALUES",
    29,
    _UNLESS_PAST,
)
_SET_END = ", ".join(
    f"{column.strip()} = ?{number}" for number, column in enumerate(END_COLUMNS.split(","), start=3)
)
UPDATE_END = f"""
UPDATE live SET {_SET_END} WHERE request_id = ?1 AND attempt = ?2 AND state IS NULL
"""
_SELECT_INTENT = everywhere(
    f"SELECT {INTENT_COLUMNS} FROM {{intents}} WHERE request_id = ?1 AND attempt = ?2"
)
_SELECT_BOOKED = everywhere("SELECT 1 FROM {intents} WHERE request_id = ?1")
_INSERT_FEEDBACK = f"""
INSERT INTO feedback (request_id, score, at_ns)
SELECT ?1, ?3, ?4 WHERE EXISTS (
    {everywhere("SELECT 1 FROM {intents} WHERE request_id = ?1 AND tenant = ?2")})
"""
# One page after another by position, not one long query: a reader that stalls would else keep the
# write-ahead log from being reused, and it would grow without bound. The position is not a place in
# a table, for an attempt may be moved to another one meanwhile.
_SELECT_ROWS = page_of(
    f"""
SELECT {of("i", INTENT_COLUMNS)}, {of("e", END_COLUMNS)}
FROM {{intents}} AS i
JOIN {{ends}} AS e ON e.request_id = i.request_id AND e.attempt = i.attempt
WHERE (i.at_ns, i.request_id, i.attempt) > (?1, ?2, ?3) AND i.at_ns < ?4
    AND (?5 IS NULL OR i.policy = ?5) AND (?6 IS NULL OR e.state = ?6)""",
    "3, 1, 2",
    "?7",
)
_SELECT_FEEDBACK = """
SELECT request_id, score FROM feedback WHERE id IN (
    SELECT max(id) FROM feedback WHERE request_id > ?
    GROUP BY request_id ORDER BY request_id LIMIT ?)
ORDER BY request_id
"""
_INTENT_WIDTH, _USAGE_FROM, _USAGE_TO = 14, 2, 9
_MOVE_INTENTS, _MOVE_ENDS, _FORGET = (
    f"""
    {what} live WHERE state IS NOT NULL AND request_id NOT IN (
        SELECT request_id FROM live WHERE held_nanousd IS NOT NULL)
    """
    for what in (
        f"INSERT INTO past_intents ({INTENT_COLUMNS}, run) SELECT {INTENT_COLUMNS}, run FROM",
        f"""INSERT INTO past_ends (request_id, attempt, {END_COLUMNS})
        SELECT request_id, attempt, {END_COLUMNS} FROM""",
        "DELETE FROM",
    )
)
_OPEN = Settlement(state="reserved", outcome="pending")


def intent_row(intent: Intent) -> Values:
    """Return an intent's columns in the table's order, as they are."""
    return astuple(intent)[:_INTENT_WIDTH]


def end_row(request_id: str, attempt: int, end: Settlement) -> Values:
    """Return an end's columns in the table's order, as they are."""
    return (request_id, attempt, *end_columns(end))


def end_columns(end: Settlement) -> Values:
    """Return how an attempt ended, in the table's order."""
    state, outcome, usage, *rest = astuple(end)
    return (state, outcome, *astuple(usage), *rest)


def intent_values(intent: Intent) -> Values:
    """Return an intent's columns in the table's order, each one storable."""
    return _storable(intent_row(intent))


def end_values(request_id: str, attempt: int, end: Settlement) -> Values:
    """Return an end's columns in the table's order, each one storable."""
    return _storable(end_row(request_id, attempt, end))


def feedback_values(request_id: str, tenant: str, score: float, at_ns: int) -> Values:
    """Return what `insert_feedback` wants."""
    return (storable_text(request_id), storable_text(tenant), score, storable_whole(at_ns))


def insert_intent(
    connection: sqlite3.Connection, values: Values, run: int, held: Values = NOTHING_HELD
) -> bool:
    """Add an intent and what its request holds; return False when the very same one is there.

    Raises LedgerUnavailable when another one has its place: were that ignored, a caller who sends
    an old request id again would call the upstream without a row of its own.
    """
    found = select_intent(connection, values)
    if found is None:
        return INSERT_INTENTS.write(connection, ((*values, run, *held),)) > 0
    if found != values:
        raise LedgerUnavailable(
            f"ledger: request id {values[0]!r}, attempt {values[1]}, is booked already;"
            " send the request under an id of its own"
        )
    return False


def select_intent(connection: sqlite3.Connection, values: Values) -> Values | None:
    """Return the columns of the intent in this one's place, None where there is none."""
    found: Values | None = connection.execute(_SELECT_INTENT, values[:2]).fetchone()
    return found


def is_booked(connection: sqlite3.Connection, request_id: str) -> bool:
    """Return whether a request has an attempt."""
    return connection.execute(_SELECT_BOOKED, (request_id,)).fetchone() is not None


def insert_end(connection: sqlite3.Connection, values: Values) -> bool:
    """Add an attempt's end; return False when it has one, or has no intent."""
    return connection.execute(UPDATE_END, values).rowcount > 0


def move_to_the_past(connection: sqlite3.Connection) -> None:
    """Move what has ended to where it stays; what a request has that holds something stays live."""
    for statement in (_MOVE_INTENTS, _MOVE_ENDS, _FORGET):
        connection.execute(statement)


def insert_feedback(connection: sqlite3.Connection, values: Values) -> bool:
    """Add a score; return False when the tenant has no such request."""
    return connection.execute(_INSERT_FEEDBACK, values).rowcount > 0


def select_rows(
    query: Query, *, since_ns: int, until_ns: int | None, policy: str | None, state: State | None
) -> Iterator[Row]:
    """Yield the rows with since_ns <= at_ns < until_ns, oldest first, a page in memory.

    `policy`: only those that this one decided; `state`: that ended so; None: all.
    """
    position = (storable_whole(since_ns), "", 0)
    end = _INT_MAX if until_ns is None else storable_whole(until_ns)
    while page := query(_SELECT_ROWS, (*position, end, policy, state, PAGE_ROWS)):
        for found in page:
            yield _row(found)
        request_id, attempt, at_ns = page[-1][:3]
        position = (at_ns, request_id, attempt)


def select_feedback(query: Query) -> Iterator[tuple[str, float]]:
    """Yield (request_id, latest score), by request id, a page in memory."""
    position = ""
    while page := query(_SELECT_FEEDBACK, (position, PAGE_ROWS)):
        yield from page
        position = page[-1][0]


def _row(found: tuple[Any, ...]) -> Row:
    (request_id, attempt, at_ns, tenant, key, tags, alias, tier, deployment, policy, reason,
     price_version, worst_case_nanousd, is_stream) = found[:_INTENT_WIDTH]  # fmt: skip
    intent = Intent(
        request_id=request_id,
        attempt=attempt,
        at_ns=at_ns,
        tenant=tenant,
        key=key,
        tags=tags,
        alias=alias,
        tier=tier,
        deployment=deployment,
        policy=policy,
        reason=reason,
        price_version=price_version,
        worst_case_nanousd=worst_case_nanousd,
        is_stream=bool(is_stream),
    )
    return Row(intent=intent, settlement=_settlement(found[_INTENT_WIDTH:]))


def _settlement(found: tuple[Any, ...]) -> Settlement:
    state, outcome, *_ = found
    if state is None:
        return _OPEN
    fresh, cached, written, long, output, reasoning, is_estimated = found[_USAGE_FROM:_USAGE_TO]
    cost_nanousd, latency_ms, ttft_ms, error, cache = found[_USAGE_TO:]
    return Settlement(
        state=state,
        outcome=outcome,
        usage=Usage(
            input_tokens=fresh,
            cached_input_tokens=cached,
            cache_write_tokens=written,
            long_cache_write_tokens=long,
            output_tokens=output,
            reasoning_tokens=reasoning,
            is_estimated=bool(is_estimated),
        ),
        cost_nanousd=cost_nanousd,
        latency_ms=latency_ms,
        ttft_ms=ttft_ms,
        error=error,
        cache=cache,
    )


def storable_text(text: str) -> str:
    """Return text that can be stored: half a surrogate pair, which JSON may hold, is replaced."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")


def storable_whole(number: int) -> int:
    """Return a number that fits SQLite's 64 bits: an upstream may claim more tokens than that."""
    return max(-_INT_MAX, min(number, _INT_MAX))


def _storable(values: Values) -> Values:
    """Return a row that can be stored, but for its attempt, which is ours to count."""
    request_id, attempt, *rest = values
    return (storable_text(str(request_id)), attempt, *map(_storable_value, rest))


def _storable_value(value: Value) -> Value:
    match value:
        case str():
            return storable_text(value)
        case int():
            return storable_whole(value)
        case _:
            return value
