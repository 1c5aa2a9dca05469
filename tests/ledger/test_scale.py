"""What a write costs that asks what a key has done: not more for what other keys have done.

Counted in SQLite's own instructions, for its writer does nothing else meanwhile.
"""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from tests.ledger.attempts import SETTLED, intent

from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.ledger import Intent
from pointsman.ledger.sqlite_budgets import take
from pointsman.ledger.sqlite_file import open_for_writing, transaction
from pointsman.ledger.sqlite_quotas import book_within_quota
from pointsman.ledger.sqlite_rows import (
    end_values,
    insert_end,
    insert_intent,
    intent_values,
    move_to_the_past,
)

NOON_NS = 1_795_000_000 * 10**9


def call_within_quota(connection, asked: Intent) -> None:
    apply = partial(insert_intent, values=intent_values(asked), run=1)
    book_within_quota(connection, intent=asked, apply=apply)


def hold_of_a_budget(connection, asked: Intent) -> None:
    hold = Hold((1,), limits_at((Budget(f"key:{asked.key}", "day", 100),), NOON_NS))
    take(connection, hold)


def steps_of(path: Path, *, others: int, first: Callable[..., None]) -> int:
    """Return how many instructions a key's first request takes after `others` of another key."""
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    with closing(open_for_writing(str(path), busy_s=1)) as connection, transaction(connection):
        for number in range(others):
            values = intent_values(intent(f"r{number}", at_ns=NOON_NS, key="busy"))
            insert_intent(connection, values, 1)
            insert_end(connection, end_values(f"r{number}", 1, SETTLED))
        move_to_the_past(connection)
        # Whoever is the very first makes what those after him need.
        first(connection, intent("one", at_ns=NOON_NS, key="one", tier_calls_max=9))
        connection.set_progress_handler(count, 1)
        first(connection, intent("two", at_ns=NOON_NS, key="two", tier_calls_max=9))
        connection.set_progress_handler(None, 1)
    return steps[0]


@pytest.mark.parametrize("first", [call_within_quota, hold_of_a_budget])
def test_a_keys_first_request_of_a_day_does_not_look_through_those_of_others(
    tmp_path: Path, first: Callable[..., None]
):
    few = steps_of(tmp_path / "few.db", others=10, first=first)
    many = steps_of(tmp_path / "many.db", others=400, first=first)
    assert 0 < many < few + 390, "less than an instruction for each row of the other key's"
