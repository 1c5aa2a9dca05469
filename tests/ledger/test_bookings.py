"""Rows that are written many at a time: as if each had been written by itself."""

import asyncio
import sqlite3
from functools import partial
from itertools import count
from typing import Any

import pytest
from tests.ledger.attempts import FAILED, HIT, OPEN, SETTLED, VOIDED, ends, intent

from pointsman.core.budgets import Budget, Held, Hold, limits_at
from pointsman.core.errors import BudgetExceeded, LedgerUnavailable
from pointsman.ledger import Settlement
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.ledger.sqlite_writer import GroupWriter


class Counting(GroupWriter):
    """Counts the statements of each group."""

    def __init__(self, connection: sqlite3.Connection, *args: Any, **given: Any) -> None:
        self.statements: list[str] = []
        super().__init__(connection, *args, **given)
        connection.set_trace_callback(self.statements.append)


@pytest.fixture
async def ledger():
    opened = SqliteLedger(":memory:", writer=Counting)
    yield opened
    await opened.close()


def statements(ledger: SqliteLedger) -> list[str]:
    """Return the first word of each statement so far, and forget them."""
    writer = ledger._writer
    assert isinstance(writer, Counting)
    words = [each.split()[0] for each in writer.statements]
    writer.statements.clear()
    return words


@pytest.mark.parametrize("rows", [1, 2, 3, 31, 32, 33, 70])
async def test_rows_added_in_one_round_take_few_statements_and_all_are_there(
    ledger: SqliteLedger, rows: int
):
    names = [f"r{number:02}" for number in range(rows)]
    await asyncio.gather(*(ledger.reserve(intent(name)) for name in names))
    assert len(statements(ledger)) <= 2 + 6
    for name in names:
        ledger.keep_reading(name, "[]")
    await asyncio.gather(
        *(ledger.settle(name, 1, SETTLED) for name in names), ledger.book_hit(intent("s"), HIT)
    )
    words = statements(ledger)
    assert words.count("INSERT") <= 6 + 1 and words.count("UPDATE") == rows
    assert sorted(row.intent.request_id for row in ledger.rows()) == [*names, "s"]
    assert ends(ledger) == [SETTLED] * rows + [HIT]
    (kept,) = ledger._connection.execute("SELECT count(*) FROM readings").fetchone()
    assert kept == rows


async def test_while_the_loop_is_busy_the_rows_of_several_rounds_make_one_group():
    ticks = count(step=0.0003)
    ledger = SqliteLedger(":memory:", writer=partial(Counting, now_s=lambda: next(ticks)))
    writing = []
    for number in range(3):
        writing.append(asyncio.create_task(ledger.reserve(intent(f"r{number}"))))
        await asyncio.sleep(0)
        assert len(ledger._writer._gathering) == number + 1
    await asyncio.gather(*writing)
    assert statements(ledger).count("COMMIT") == 1
    await ledger.close()


async def test_rows_that_come_one_by_one_are_handed_over_in_the_next_round_however_busy_the_loop():
    ticks = count(step=0.0005)
    ledger = SqliteLedger(":memory:", writer=partial(Counting, now_s=lambda: next(ticks)))
    await ledger.reserve(intent("r0"))
    writing = asyncio.create_task(ledger.reserve(intent("r1")))
    await asyncio.sleep(0)
    assert ledger._writer._gathering
    await asyncio.sleep(0)
    assert not ledger._writer._gathering
    await writing
    await ledger.close()


async def test_one_row_unlike_the_others_is_told_and_the_others_are_written(ledger: SqliteLedger):
    await ledger.reserve(intent("r1"))
    told = await asyncio.gather(
        ledger.reserve(intent("r2")),
        ledger.reserve(intent("r1", at_ns=2)),
        ledger.reserve(intent("r1")),
        ledger.reserve(intent("r3", reason="half a pair: \ud83d")),
        ledger.reserve(intent("r4", tenant=None)),
        ledger.settle("r1", 1, SETTLED),
        ledger.settle("r1", 1, FAILED),
        ledger.settle("r5", 2**70, SETTLED),
        return_exceptions=True,
    )
    assert [type(each) for each in told] == [
        type(None),
        LedgerUnavailable,
        type(None),
        type(None),
        LedgerUnavailable,
        type(None),
        type(None),
        LedgerUnavailable,
    ]
    assert "booked already" in str(told[1]) and "cannot be written" in str(told[4])
    assert [(row.intent.reason, row.settlement) for row in ledger.rows()] == [
        ("short", SETTLED),
        ("short", OPEN),
        ("half a pair: ?", OPEN),
    ]


async def test_an_end_before_its_intent_ends_nothing_and_one_behind_it_does(ledger: SqliteLedger):
    ledger.close_attempt("r1", 1, SETTLED)
    await asyncio.gather(ledger.reserve(intent("r1")), ledger.reserve(intent("r2")))
    assert ends(ledger) == [OPEN, OPEN]
    leaving = asyncio.create_task(ledger.reserve(intent("r3")))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await ledger.settle("r1", 1, SETTLED)
    assert ends(ledger) == [SETTLED, OPEN, VOIDED]


def test_what_a_loop_left_behind_unwritten_the_next_one_writes(ledger_file: str):
    ledger = SqliteLedger(ledger_file)
    loop = asyncio.new_event_loop()
    loop.call_soon(ledger.close_attempt, "r1", 1, SETTLED)
    loop.call_soon(loop.stop)
    asyncio.run(ledger.reserve(intent("r1")))
    loop.run_forever()
    loop.close()
    asyncio.run(ledger.reserve(intent("r2")))
    assert ends(ledger) == [SETTLED, OPEN]
    asyncio.run(ledger.close())


@pytest.fixture
def ledger_file(tmp_path) -> str:
    return str(tmp_path / "ledger.db")


async def test_of_holds_asked_for_at_once_as_many_are_taken_as_fit(ledger: SqliteLedger):
    hold = Hold((40, 30), limits_at((Budget("all", "day", 100),), 0))
    told = await asyncio.gather(
        *(ledger.reserve(intent(f"r{n}", at_ns=0), hold) for n in range(8)), return_exceptions=True
    )
    taken = [each.nanousd for each in told if isinstance(each, Held)]
    assert taken == [40, 40] and all(isinstance(each, BudgetExceeded) for each in told[2:])
    assert len(statements(ledger)) < 16
    ended = Settlement(state="settled", outcome="answered", cost_nanousd=7)
    await asyncio.gather(
        *(ledger.settle(f"r{n}", 1, ended, is_last=True) for n in range(2)),
        ledger.reserve(intent("next", at_ns=0), hold),
    )
    assert [(row.nanousd, row.held_nanousd) for row in ledger.budgets()] == [(14, 40)]
    assert len(statements(ledger)) < 20
