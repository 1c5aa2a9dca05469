"""The writer's thread when the file is locked, the disk fails, or our own code does."""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.ledger.attempts import FAILED, OPEN, SETTLED, VOIDED, ends, intent, lock

from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.core.errors import ConfigError, LedgerUnavailable
from pointsman.ledger import sqlite_file, sqlite_writer
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.ledger.sqlite_file import SPARE_BYTES, Spare
from pointsman.ledger.sqlite_writer import GroupWriter

WAIT_S = 60.0


class Watched(GroupWriter):
    """Says when a commit has failed."""

    def __init__(self, *args: Any, failed: threading.Event, **named: Any) -> None:
        self._failed = failed
        super().__init__(*args, **named)

    def _after(self, error, group):
        left = super()._after(error, group)
        self._failed.set()
        return left


async def test_who_waits_for_a_lock_waits_with_those_who_come_later(tmp_path: Path):
    path, is_locked = tmp_path / "ledger.db", threading.Event()
    ledger = SqliteLedger(path, busy_s=WAIT_S, writer=partial(Watched, failed=is_locked))
    other = lock(path)
    early = asyncio.create_task(ledger.reserve(intent("r1", at_ns=1)))
    assert await asyncio.to_thread(is_locked.wait, WAIT_S)
    late = asyncio.create_task(ledger.reserve(intent("r2", at_ns=2)))
    ledger.close_attempt("r1", 1, FAILED)
    is_locked.clear()
    assert await asyncio.to_thread(is_locked.wait, WAIT_S)
    assert ends(ledger) == [] and not early.done()
    other.close()
    await asyncio.gather(early, late)
    assert ends(ledger) == [FAILED, OPEN]
    await ledger.close()


async def test_whoever_may_not_wait_for_a_lock_is_told_at_once(tmp_path: Path):
    """Asked and refused in the same instant of the clock, a write is neither kept nor forgotten."""
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, busy_s=0, writer=partial(GroupWriter, now_s=lambda: 5.0))
    other = lock(path)
    with pytest.raises(LedgerUnavailable, match="database is locked"):
        await ledger.reserve(intent("r1"))
    other.close()
    await ledger.reserve(intent("r2"))
    assert [row.intent.request_id for row in ledger.rows()] == ["r2"]
    await ledger.close()


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("x"), OSError("x")], ids=repr)
async def test_a_fault_of_our_own_refuses_its_group_and_stops_no_later_one(
    error: Exception, caplog: pytest.LogCaptureFixture
):
    writers: list[GroupWriter] = []

    def writer(*args: Any, **named: Any) -> GroupWriter:
        writers.append(GroupWriter(*args, **named))
        return writers[-1]

    def fail(connection: sqlite3.Connection) -> bool:
        connection.execute("UPDATE live SET reason = 'half done'")
        raise error

    ledger = SqliteLedger(":memory:", writer=writer)
    await ledger.reserve(intent())
    with pytest.raises(LedgerUnavailable, match=f"cannot write: {error}"):
        await writers[0].awaited(fail)
    ledger.close_attempt("r1", 1, SETTLED)
    await ledger.reserve(intent("r2"))
    assert [(row.intent.reason, row.settlement) for row in ledger.rows()] == [
        ("short", SETTLED),
        ("short", OPEN),
    ]
    assert "a group of writes failed" in caplog.text and "writes again" in caplog.text
    await ledger.close()


class Syncs:
    """A disk that makes nothing durable while it `fails`, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.fails = True
        self.asked = threading.Semaphore(0)
        self.count = 0

    def sync(self) -> None:
        self.asked.release()
        if self.fails:
            raise OSError(5, "Input/output error")
        self.count += 1

    def writer(self, *args: Any, sync: Callable[[], None] | None, **named: Any) -> GroupWriter:
        assert sync is not None, "a relaxed ledger is to be synced"
        return GroupWriter(*args, sync=self.sync, now_s=lambda: self.now_s, **named)


async def test_a_sync_that_fails_is_logged_and_made_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    disk = Syncs()
    ledger = SqliteLedger(tmp_path / "ledger.db", durability="relaxed", writer=disk.writer)
    await ledger.reserve(intent("r1"))
    disk.now_s = 1.0
    await ledger.reserve(intent("r2"))  # at the latest after this one, a sync is due
    assert await asyncio.to_thread(disk.asked.acquire, timeout=WAIT_S)
    disk.now_s, disk.fails = 2.0, False
    await ledger.settle("r1", 1, SETTLED)
    assert await asyncio.to_thread(disk.asked.acquire, timeout=WAIT_S)
    await ledger.close()
    assert "the last writes are not on the disk: [Errno 5]" in caplog.text
    assert disk.count >= 1


async def test_what_a_relaxed_ledger_wrote_last_is_synced_although_nothing_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    disk = Syncs()
    disk.fails = False

    def writer(*args: Any, sync: Callable[[], None], **named: Any) -> GroupWriter:
        return GroupWriter(*args, sync=disk.sync, **named)

    monkeypatch.setattr(sqlite_writer, "_SYNC_S", 0.05)
    ledger = SqliteLedger(tmp_path / "ledger.db", durability="relaxed", writer=writer)
    await ledger.reserve(intent())
    assert await asyncio.to_thread(disk.asked.acquire, timeout=WAIT_S / 3)
    await ledger.close()


async def test_closing_does_not_fail_where_the_last_sync_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    disk = Syncs()
    ledger = SqliteLedger(tmp_path / "ledger.db", durability="relaxed", writer=disk.writer)
    await ledger.reserve(intent())
    await ledger.close()
    assert "not on the disk" in caplog.text


async def test_what_finds_no_room_in_the_queue_any_more_is_done_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Ends have far more room than all else; past that nothing is lost, only late."""
    path = tmp_path / "ledger.db"
    hold = Hold((60,), limits_at((Budget("all", "day", 100),), 0))
    ledger = SqliteLedger(path)
    await ledger.reserve(intent("r1", at_ns=0, worst_case_nanousd=50), hold)
    monkeypatch.setattr(sqlite_writer, "_ENDS_MAX", 0)
    ledger.close_attempt("r1", 1, VOIDED)
    ledger.release("r1")
    assert "attempt r1/1 stays open" in caplog.text
    assert "request r1 goes on holding" in caplog.text
    assert [(row.nanousd, row.held_nanousd) for row in ledger.budgets()] == [(0, 60)]
    await ledger.close()
    again = SqliteLedger(path)
    assert [row.settlement.state for row in again.rows()] == ["unknown"]
    assert [(row.nanousd, row.held_nanousd) for row in again.budgets()] == [(50, 0)]
    await again.close()


def test_nothing_is_read_from_a_file_that_is_gone(tmp_path: Path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    asyncio.run(ledger.reserve(intent()))
    for file in list(tmp_path.iterdir()):
        file.rename(f"{file}.moved")
    for read in (ledger.rows, ledger.budgets, ledger.feedback, ledger.audits, ledger.labels):
        with pytest.raises(LedgerUnavailable, match=r"ledger\.db: cannot be read"):
            next(iter(read()))
    assert not path.exists(), "reading makes no file"
    asyncio.run(ledger.close())


# The file


def test_a_new_file_that_another_process_is_setting_up_is_unavailable_not_wrong(tmp_path: Path):
    path = tmp_path / "ledger.db"
    other = lock(path)
    with pytest.raises(LedgerUnavailable, match="locked by another process"):
        SqliteLedger(path, busy_s=0.01)
    other.close()
    asyncio.run(SqliteLedger(path).close())


def test_a_file_system_without_shared_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its locks are files, and with those SQLite has no WAL. Source: sqlite.org/vfs.html."""

    def connect(path: str, *, mode: str, busy_s: float) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{path}?mode={mode}&vfs=unix-dotfile",
            uri=True,
            timeout=busy_s,
            isolation_level=None,
        )

    monkeypatch.setattr(sqlite_file, "_connect", connect)
    with pytest.raises(ConfigError, match="its file system gives journal mode delete"):
        SqliteLedger(tmp_path / "ledger.db")
    assert not (tmp_path / "ledger.db.lock").exists(), "the file was let go"


def test_the_spare_has_its_room_where_none_can_be_set_aside_unwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert Spare(str(tmp_path / "ledger.db")).make()
    assert (tmp_path / "ledger.db-spare").stat().st_size == SPARE_BYTES
