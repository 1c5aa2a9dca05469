"""Bookings: the rows that every request brings, new ones many of a kind by one statement.

Python's sqlite3 lets go of the interpreter for each statement, and to get it back from a busy event
loop takes longer than to write a row: so a group of rows should be few statements, where those do
not cost more (`sqlite_statements`). What takes more than that, a quota say, is a function and
written by itself.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TypeAlias

import msgspec

from pointsman.core.budgets import Held, Hold
from pointsman.core.errors import GatewayError
from pointsman.ledger import Intent, Settlement
from pointsman.ledger.sqlite_budgets import Releases, held, held_values, take, take_all
from pointsman.ledger.sqlite_labels import INSERT_READINGS, insert_reading, reading_values
from pointsman.ledger.sqlite_rows import (
    INSERT_HITS,
    INSERT_INTENTS,
    NOTHING_HELD,
    UPDATE_END,
    end_columns,
    end_row,
    end_values,
    insert_end,
    insert_intent,
    intent_row,
    intent_values,
    is_booked,
    move_to_the_past,
    select_intent,
    storable_text,
)
from pointsman.ledger.sqlite_statements import Values

# How many intents are booked before what has ended is moved: that many rows hold up one group.
_MOVE_EVERY = 100


class End(msgspec.Struct, frozen=True):
    """How an attempt ended. `is_last`: its request's hold is given back."""

    request_id: str
    attempt: int
    settlement: Settlement
    is_last: bool = False


class Holding(msgspec.Struct, frozen=True):
    """A request's first intent and what it is to hold; what it holds is put into `taken`."""

    intent: Intent
    hold: Hold
    taken: list[Held]


class Hit(msgspec.Struct, frozen=True):
    """An intent and its end together."""

    intent: Intent
    settlement: Settlement


class Reading(msgspec.Struct, frozen=True):
    """What the scorer reads of a request, as JSON."""

    request_id: str
    reading: str


Work: TypeAlias = Intent | Holding | End | Hit | Reading | Callable[[sqlite3.Connection], bool]

_ROWS = frozenset({Intent, Holding, End, Hit, Reading})


def are_rows(works: Iterable[Work]) -> bool:
    """Return whether `Bookings.write_all` can write them."""
    return _ROWS.issuperset(map(type, works))


class Bookings:
    """Writes the rows of a run, in the writer's thread and transaction. `releases`: its holds."""

    def __init__(self, run: int, releases: Releases) -> None:
        self._run = run
        self._releases = releases
        self._until_move = _MOVE_EVERY

    def write_all(
        self, connection: sqlite3.Connection, works: Sequence[Work]
    ) -> list[bool | GatewayError]:
        """Add rows, the ends first: what they give back can be held; return what came of each.

        Raises one of `sqlite_writer.UNWRITABLE` where a row is there already, cannot be stored as
        it is, or has to wait for another one: then all is to be undone, and written one by one.
        """
        intents: list[Values] = []
        hits: list[Values] = []
        holdings: list[Holding] = []
        last: list[str] = []
        ends: dict[tuple[str, int], Values] = {}
        readings: list[Values] = []
        for work in works:
            match work:
                case Intent():
                    intents.append((*intent_row(work), self._run, *NOTHING_HELD))
                case Holding():
                    holdings.append(work)
                case End(request_id, attempt, settlement, is_last):
                    row = end_row(request_id, attempt, settlement)
                    ends.setdefault((request_id, attempt), row)  # the first one stays
                    if is_last:
                        last.append(request_id)
                case Hit(intent, settlement):
                    hits.append((*intent_row(intent), self._run, *end_columns(settlement)))
                case Reading(request_id, reading):
                    readings.append((request_id, reading))
        ended = {request_id for request_id, _ in ends}
        begun = {row[0] for row in chain(intents, hits)}
        begun.update(each.intent.request_id for each in holdings)
        if not ended.isdisjoint(begun):
            raise ValueError("whether an end comes before or after its intent makes a difference")
        connection.executemany(UPDATE_END, ends.values())
        self._releases.note_ends(connection, ended)
        if last:
            self._releases.release(connection, last)
        refused = self._take(connection, holdings, intents) if holdings else {}
        added = INSERT_INTENTS.write(connection, intents) + INSERT_HITS.write(connection, hits)
        if added < len(intents) + len(hits):
            raise ValueError("an intent has its place in the past already")
        INSERT_READINGS.write(connection, readings)
        self._count(connection, added)
        return [refused.get(id(work), True) for work in works]

    def _take(
        self,
        connection: sqlite3.Connection,
        holdings: Sequence[Holding],
        intents: list[Values],
    ) -> dict[int, GatewayError]:
        """Take holds, add the rows to `intents`; return why none was taken, by the object's id."""
        refused: dict[int, GatewayError] = {}
        asked = (each.hold for each in holdings)
        for each, found in zip(holdings, take_all(connection, asked), strict=True):
            if isinstance(found, GatewayError):
                refused[id(each)] = found
            else:
                each.taken.append(found)
                held = held_values(each.hold, found)
                intents.append((*intent_row(each.intent), self._run, *held))
        for each in holdings:
            if id(each) in refused and is_booked(connection, each.intent.request_id):
                raise ValueError("an intent that is there already needs no room")
        return refused

    def write(self, connection: sqlite3.Connection, work: Work) -> bool:
        """Write one thing, its values made storable; return whether it was new.

        Raises LedgerUnavailable for an intent in another's place, and what a function raises.
        """
        match work:
            case Intent():
                self._count(connection, 1)
                return insert_intent(connection, intent_values(work), self._run)
            case Holding():
                return self._write_held(connection, work)
            case End(request_id, attempt, settlement, is_last):
                is_new = insert_end(connection, end_values(request_id, attempt, settlement))
                stored = (storable_text(request_id),)
                if is_last:
                    self._releases.release(connection, stored)
                else:
                    self._releases.note_ends(connection, stored)
                return is_new
            case Hit(intent, settlement):
                end = end_values(intent.request_id, intent.attempt, settlement)
                return self.write(connection, intent) and insert_end(connection, end)
            case Reading(request_id, reading):
                return insert_reading(connection, reading_values(request_id, reading))
            case _:
                return work(connection)

    def _write_held(self, connection: sqlite3.Connection, work: Holding) -> bool:
        """Take a hold and add the intent, or neither; what an undone try took is no matter."""
        values = intent_values(work.intent)
        if select_intent(connection, values) is not None:
            request_id = storable_text(work.intent.request_id)
            work.taken.append(held(connection, request_id, work.hold))
            return insert_intent(connection, values, self._run)
        work.taken.append(take(connection, work.hold))
        self._count(connection, 1)
        return insert_intent(connection, values, self._run, held_values(work.hold, work.taken[-1]))

    def _count(self, connection: sqlite3.Connection, intents: int) -> None:
        """Keep short what is live: every start looks through it."""
        self._until_move -= intents
        if self._until_move <= 0:
            self._until_move = _MOVE_EVERY
            move_to_the_past(connection)
