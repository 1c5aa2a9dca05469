"""Who is told from whom where the system says little, and how far the next start has to look."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from tests.ledger.attempts import LOST, OPEN, SETTLED, intent

from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.core.errors import LedgerUnavailable
from pointsman.ledger import runs, sqlite_bookings, sqlite_writer
from pointsman.ledger.runs import Process, is_alive, this_process
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.ledger.sqlite_writer import GroupWriter


@pytest.fixture
def no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has no `/proc`."""
    monkeypatch.setattr(runs, "_PROC", tmp_path / "proc")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.mark.usefixtures("no_proc")
@pytest.mark.skipif(sys.platform == "win32", reason="asks for a process by a signal")
def test_without_proc_a_process_is_alive_while_its_number_answers(
    child: subprocess.Popen[bytes],
):
    assert this_process() == Process("", os.getpid(), "")
    assert is_alive(this_process())
    theirs = Process("", child.pid, "")
    assert is_alive(theirs)
    child.kill()
    child.wait()
    assert not is_alive(theirs)
    assert not is_alive(Process("another boot", os.getpid(), ""))


@pytest.mark.usefixtures("no_proc")
def test_a_process_that_may_not_be_asked_is_alive(monkeypatch: pytest.MonkeyPatch):
    """It is another user's, and its attempts are not ours to close."""

    def refuse(pid: int, signal: int) -> None:
        assert signal == 0, "nobody may be stopped by being asked"
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)
    assert is_alive(Process("", os.getpid() + 1, ""))


@pytest.mark.usefixtures("no_proc")
def test_on_windows_every_other_process_counts_as_dead(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "kill", None)  # there, signal 0 is a key press that stops a console
    assert is_alive(this_process())
    assert not is_alive(Process("", os.getppid(), ""))


@pytest.mark.usefixtures("no_proc")
async def test_without_proc_a_ledger_leaves_alone_what_is_its_own_process_s(tmp_path: Path):
    first = SqliteLedger(tmp_path / "ledger.db")
    await first.reserve(intent())
    second = SqliteLedger(tmp_path / "ledger.db")
    assert second.recovered == 0
    assert [row.settlement for row in second.rows()] == [OPEN]
    await first.close()
    assert [row.settlement for row in second.rows()] == [LOST]
    await second.close()


def live(path: Path) -> list[str]:
    """Return the requests that the next start would look through for what was left open."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT request_id FROM live ORDER BY request_id")
        return [request_id for (request_id,) in rows]


async def test_what_has_ended_is_moved_away_and_what_is_open_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "ledger.db"
    monkeypatch.setattr(sqlite_bookings, "_MOVE_EVERY", 4)
    ledger = SqliteLedger(path)
    for number in range(1, 5):
        assert len(live(path)) == number - 1
        await ledger.reserve(intent(f"r{number}", at_ns=number))
        if number != 2:
            await ledger.settle(f"r{number}", 1, SETTLED)
    assert live(path) == ["r2", "r4"], "the fourth had just begun"
    assert [row.settlement for row in ledger.rows()] == [SETTLED, OPEN, SETTLED, SETTLED]
    assert await ledger.reserve(intent("r1", at_ns=1)) is None, "the very same one is there"
    with pytest.raises(LedgerUnavailable, match="booked already"):
        await ledger.reserve(intent("r1", at_ns=5))
    await ledger.settle("r1", 1, LOST)
    assert [row.settlement for row in ledger.rows(until_ns=2)] == [SETTLED], "the first end stays"
    await ledger.close()
    assert live(path) == []


async def test_what_a_request_has_that_holds_something_stays_until_it_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What it has cost is summed when its last attempt ends."""
    path = tmp_path / "ledger.db"
    monkeypatch.setattr(sqlite_bookings, "_MOVE_EVERY", 1)
    ledger = SqliteLedger(path)
    hold = Hold((9_000_000,), limits_at((Budget("all", "day", 10**9),), 0))
    await ledger.reserve(intent(at_ns=0), hold)
    await ledger.settle("r1", 1, SETTLED)
    for attempt in (2, 3):
        await ledger.reserve(intent("r1", attempt, at_ns=0))
        await ledger.settle("r1", attempt, SETTLED, is_last=attempt == 3)
    (budget,) = ledger.budgets()
    assert (budget.nanousd, budget.held_nanousd) == (3 * 1_234_567, 0)
    await ledger.reserve(intent("r2"))
    assert live(path) == ["r2"]
    await ledger.close()


async def test_an_attempt_whose_end_could_not_be_written_yet_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Were it moved away, a crash now would leave it open for ever."""
    path = tmp_path / "ledger.db"
    monkeypatch.setattr(sqlite_bookings, "_MOVE_EVERY", 4)
    monkeypatch.setattr(sqlite_writer, "_GROUP_MAX", 1)
    # Its clock stands, so that it tries an end again with the next write and no sooner.
    ledger = SqliteLedger(path, busy_s=0, writer=partial(GroupWriter, now_s=lambda: 0.0))
    for number in range(1, 4):
        await ledger.reserve(intent(f"r{number}"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for number in (1, 2):
            with pytest.raises(LedgerUnavailable, match="locked"):
                await ledger.settle(f"r{number}", 1, SETTLED)
    await ledger.reserve(intent("r4"))
    # One at a time: the end of the second waits for the next group.
    assert live(path) == ["r2", "r3", "r4"]
    for number in range(5, 9):
        await ledger.reserve(intent(f"r{number}"))
    assert live(path) == [f"r{number}" for number in range(3, 9)]
    assert [row.settlement for row in ledger.rows()] == [SETTLED] * 2 + [OPEN] * 6
    await ledger.close()


def test_opening_closes_the_orphans_of_the_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    asyncio.run(ledger.reserve(intent()))
    monkeypatch.setattr(runs, "is_alive", lambda process: False)
    again = SqliteLedger(path)
    assert (again.recovered, [row.settlement for row in again.rows()]) == (1, [LOST])
    for it in (ledger, again):
        asyncio.run(it.close())
