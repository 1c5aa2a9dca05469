"""Releases that came before the last end was written, on a disk that fails meanwhile.

What `tests/simulation` can do to the disk: a lock that is held too long keeps
an end back while the release behind it is written, and then there is no room for the end.
"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.ledger.attempts import SETTLED, intent

from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.ledger.sqlite_budgets import Releases, held_values, take
from pointsman.ledger.sqlite_file import open_for_writing, transaction
from pointsman.ledger.sqlite_rows import end_values, insert_end, insert_intent, intent_values

NOON_NS = 1_795_000_000 * 10**9


@pytest.mark.parametrize("fails", [0, 1, 2])
def test_a_late_release_that_is_undone_is_made_with_the_next_try(
    tmp_path: Path, fails: int
) -> None:
    hold = Hold((9_000_000,), limits_at((Budget("all", "day", 10**9),), NOON_NS))
    end, releases = end_values("r1", 1, SETTLED), Releases()
    with closing(open_for_writing(str(tmp_path / "ledger.db"), busy_s=1)) as connection:
        with transaction(connection):
            taken = held_values(hold, take(connection, hold))
            insert_intent(connection, intent_values(intent("r1", at_ns=NOON_NS)), 1, taken)
        with transaction(connection):
            releases.release(connection, ("r1",))
        assert held(connection) == 9_000_000, "its attempt is still open"

        def write_end(*, is_full: bool) -> None:
            with transaction(connection):
                insert_end(connection, end)
                releases.note_ends(connection, ("r1",))
                if is_full:
                    raise sqlite3.OperationalError("database or disk is full")

        for _ in range(fails):
            with suppress(sqlite3.OperationalError):
                write_end(is_full=True)
            assert held(connection) == 9_000_000
        write_end(is_full=False)
        assert held(connection) == 0


def held(connection: sqlite3.Connection) -> int:
    (nanousd,) = connection.execute("SELECT sum(held_nanousd) FROM budgets").fetchone()
    return int(nanousd)
