"""Bookings: the rows that every request brings, many of a kind by one statement.

Python's sqlite3 lets go of the interpreter for each statement, and to get it back from a busy event
loop takes longer than to write a row: so a group of rows should be few statements. What takes more
than to add its own row, a budget's hold say, is a function and written by itself.
"""

import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeAlias

import msgspec

from pointsman.ledger import Intent, Settlement
from pointsman.ledger.runs import advance_run
from pointsman.ledger.sqlite_budgets import Releases
from pointsman.ledger.sqlite_labels import INSERT_READINGS, insert_reading, reading_values
from pointsman.ledger.sqlite_rows import (
    INSERT_ENDS,
    INSERT_INTENTS,
    Values,
    end_row,
    end_values,
    insert_end,
    insert_intent,
    intent_row,
    intent_values,
)

_ADVANCE_EVERY = 500


class End(msgspec.Struct, frozen=True):
    """How an attempt ended."""

    request_id: str
    attempt: int
    settlement: Settlement


class Hit(msgspec.Struct, frozen=True):
    """An intent and its end together."""

    intent: Intent
    settlement: Settlement


class Reading(msgspec.Struct, frozen=True):
    """What the scorer reads of a request, as JSON."""

    request_id: str
    reading: str


Work: TypeAlias = Intent | End | Hit | Reading | Callable[[sqlite3.Connection], bool]

_ROWS = frozenset({Intent, End, Hit, Reading})


def are_rows(works: Iterable[Work]) -> bool:
    """Return whether `Bookings.write_all` can write them."""
    return _ROWS.issuperset(map(type, works))


class Bookings:
    """Writes the rows of a run, in the writer's thread and transaction. `releases`: its holds."""

    def __init__(self, run: int, releases: Releases) -> None:
        self._run = run
        self._releases = releases
        self._until_advance = _ADVANCE_EVERY

    def write_all(self, connection: sqlite3.Connection, works: Iterable[Work]) -> None:
        """Add rows, the intents before all else.

        Raises one of `sqlite_writer.UNWRITABLE` where a row is there already, cannot be stored as
        it is, or has to wait for another one: then all is to be undone, and written one by one.
        """
        intents: list[Values] = []
        hits: list[Values] = []
        ends: list[Values] = []
        readings: list[Values] = []
        for work in works:
            match work:
                case Intent():
                    intents.append((*intent_row(work), self._run))
                case End(request_id, attempt, settlement):
                    ends.append(end_row(request_id, attempt, settlement))
                case Hit(intent, settlement):
                    intents.append((*intent_row(intent), self._run))
                    hits.append(end_row(intent.request_id, intent.attempt, settlement))
                case Reading(request_id, reading):
                    readings.append((request_id, reading))
        if intents and ends and not {row[0] for row in ends}.isdisjoint(row[0] for row in intents):
            raise ValueError("whether an end comes before or after its intent makes a difference")
        ends += hits
        INSERT_INTENTS.add(connection, intents)
        INSERT_ENDS.add(connection, ends)
        INSERT_READINGS.add(connection, readings)
        self._releases.note_ends(connection, (str(row[0]) for row in ends))
        self._count(connection, len(intents))

    def write(self, connection: sqlite3.Connection, work: Work) -> bool:
        """Write one thing, its values made storable; return whether it was new.

        Raises LedgerUnavailable for an intent in another's place, and what a function raises.
        """
        match work:
            case Intent():
                self._count(connection, 1)
                return insert_intent(connection, intent_values(work), self._run)
            case End(request_id, attempt, settlement):
                is_new = insert_end(connection, end_values(request_id, attempt, settlement))
                self._releases.note_ends(connection, (request_id,))
                return is_new
            case Hit(intent, settlement):
                end = end_values(intent.request_id, intent.attempt, settlement)
                return self.write(connection, intent) and insert_end(connection, end)
            case Reading(request_id, reading):
                return insert_reading(connection, reading_values(request_id, reading))
            case _:
                return work(connection)

    def _count(self, connection: sqlite3.Connection, intents: int) -> None:
        """Keep short what the next start has to look through, should this process be killed."""
        self._until_advance -= intents
        if self._until_advance <= 0:
            self._until_advance = _ADVANCE_EVERY
            advance_run(connection, self._run)
