"""Bookings: the rows that every request brings, many of a kind by one statement.

Python's sqlite3 lets go of the interpreter for each statement, and to get it back from a busy event
loop takes longer than to write a row: so a group of rows should be few statements. What takes more
than that, a quota say, is a function and written by itself.
"""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import msgspec

from pointsman.core.budgets import Held, Hold
from pointsman.core.errors import GatewayError
from pointsman.ledger import Intent, Settlement
from pointsman.ledger.runs import advance_run
from pointsman.ledger.sqlite_budgets import Releases, held, take, take_all
from pointsman.ledger.sqlite_labels import INSERT_READINGS, insert_reading, reading_values
from pointsman.ledger.sqlite_rows import (
    INSERT_ENDS,
    INSERT_INTENTS,
    SELECT_BOOKED,
    Values,
    end_row,
    end_values,
    insert_end,
    insert_intent,
    intent_row,
    intent_values,
    select_intent,
    storable_text,
)

_ADVANCE_EVERY = 500


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
        self._until_advance = _ADVANCE_EVERY

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
        ends: list[Values] = []
        readings: list[Values] = []
        for work in works:
            match work:
                case Intent():
                    intents.append((*intent_row(work), self._run))
                case Holding():
                    holdings.append(work)
                case End(request_id, attempt, settlement, is_last):
                    ends.append(end_row(request_id, attempt, settlement))
                    if is_last:
                        last.append(request_id)
                case Hit(intent, settlement):
                    intents.append((*intent_row(intent), self._run))
                    hits.append(end_row(intent.request_id, intent.attempt, settlement))
                case Reading(request_id, reading):
                    readings.append((request_id, reading))
        ended = {str(row[0]) for row in ends}
        begun = {row[0] for row in intents}.union(each.intent.request_id for each in holdings)
        if not ended.isdisjoint(begun):
            raise ValueError("whether an end comes before or after its intent makes a difference")
        INSERT_ENDS.add(connection, ends)
        self._releases.note_ends(connection, ended)
        if last:
            self._releases.release(connection, last)
        taken = self._take(connection, holdings) if holdings else {}
        intents += [
            (*intent_row(each.intent), self._run) for each in holdings if id(each) not in taken
        ]
        INSERT_INTENTS.add(connection, intents)
        INSERT_ENDS.add(connection, hits)
        INSERT_READINGS.add(connection, readings)
        self._count(connection, len(intents))
        return [taken.get(id(work), True) for work in works]

    def _take(
        self, connection: sqlite3.Connection, holdings: Sequence[Holding]
    ) -> dict[int, GatewayError]:
        """Take holds; return why nothing was taken, by the id of the object."""
        refused: dict[int, GatewayError] = {}
        asked = ((each.intent.request_id, each.hold) for each in holdings)
        for each, found in zip(holdings, take_all(connection, asked, self._run), strict=True):
            if isinstance(found, GatewayError):
                refused[id(each)] = found
            else:
                each.taken.append(found)
        names = [each.intent.request_id for each in holdings if id(each) in refused]
        if SELECT_BOOKED.about(connection, names):
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
        request_id = storable_text(work.intent.request_id)
        if select_intent(connection, intent_values(work.intent)) is not None:
            work.taken.append(held(connection, request_id, work.hold))
        else:
            work.taken.append(take(connection, request_id, work.hold, self._run))
        return self.write(connection, work.intent)

    def _count(self, connection: sqlite3.Connection, intents: int) -> None:
        """Keep short what the next start has to look through, should this process be killed."""
        self._until_advance -= intents
        if self._until_advance <= 0:
            self._until_advance = _ADVANCE_EVERY
            advance_run(connection, self._run)
