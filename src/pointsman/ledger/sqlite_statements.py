"""Statements of the ledger: those that add many rows, of some requests, about all attempts.

Rows are added by few statements, and updated by one each: an UPDATE of many rows, FROM a list of
VALUES, needs two tables of its own, so that to end one attempt took nearly twice as many
instructions, and to end four nearly a third more.
"""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeAlias

Value: TypeAlias = str | int | float | None
Values: TypeAlias = tuple[Value, ...]
Query: TypeAlias = Callable[[str, Values], list[Any]]

# How many rows or requests a statement is about: SQLite keeps one ready for each number.
_AT_ONCE = (32, 16, 8, 4, 2, 1)


class Many:
    """A statement that adds rows of `width` values, which stand between `head` and `tail`."""

    def __init__(self, head: str, width: int, tail: str = "") -> None:
        row = f"({', '.join('?' * width)})"
        self._statements = {count: f"{head} {', '.join([row] * count)}{tail}" for count in _AT_ONCE}

    def write(self, connection: sqlite3.Connection, rows: Sequence[Values]) -> int:
        """Write rows by as few statements as can be; return how many this has added."""
        start = added = 0
        for count, statement in self._statements.items():
            while len(rows) - start >= count:
                values = tuple(chain.from_iterable(rows[start : start + count]))
                added += connection.execute(statement, values).rowcount
                start += count
        return added


class Among:
    """A statement about the rows of some requests, `head` up to the column of their ids."""

    def __init__(self, head: str) -> None:
        self._statements = {count: f"{head} IN ({', '.join('?' * count)})" for count in _AT_ONCE}

    def about(self, connection: sqlite3.Connection, request_ids: Sequence[str]) -> list[Any]:
        """Return what it finds."""
        found: list[Any] = []
        for start in range(0, len(request_ids), _AT_ONCE[0]):
            some = list(request_ids[start : start + _AT_ONCE[0]])
            count = 1 << (len(some) - 1).bit_length()
            values = (*some, *some[-1:] * (count - len(some)))  # to name one again changes nothing
            found += connection.execute(self._statements[count], values).fetchall()
        return found


def everywhere(select: str) -> str:
    """Return a query of attempts that run or ended of late, and of those of the past.

    `select` speaks of {intents} and {ends}, and joins the two where it speaks of both.
    """
    past = select.format(intents="past_intents", ends="past_ends")
    return f"{past} UNION ALL {select.format(intents='live', ends='live')}"


def page_of(select: str, order: str, limit: str) -> str:
    """Return a query of the first rows of `everywhere`, without going through all of them.

    `order`: the numbers of columns.
    """
    whole = everywhere(f"SELECT * FROM ({select} ORDER BY {order} LIMIT {limit})")
    return f"{whole} ORDER BY {order} LIMIT {limit}"
