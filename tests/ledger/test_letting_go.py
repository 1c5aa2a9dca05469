"""What a ledger syncs while it is open, and what is left of it, on disk and in memory, after."""

import os
import shutil
import sys
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.ledger.attempts import LOST, SETTLED, VOIDED, ends, intent

from pointsman.core.budgets import Budget, Hold, limits_at
from pointsman.core.errors import LedgerUnavailable
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.ledger.sqlite_budgets import Releases, held_values, take
from pointsman.ledger.sqlite_file import open_for_writing, transaction
from pointsman.ledger.sqlite_rows import end_values, insert_end, insert_intent, intent_values
from pointsman.ledger.sqlite_writer import GroupWriter


class Name(str):
    """A text of which one can tell whether anybody still has it."""

    __slots__ = ("__weakref__",)


class Syncs:
    """Counts syncs, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.count = 0

    def sync(self) -> None:
        self.count += 1

    def writer(self, *args: Any, sync: Callable[[], None] | None, **named: Any) -> GroupWriter:
        assert sync is not None, "a relaxed ledger is to be synced"
        return GroupWriter(*args, sync=self.sync, now_s=lambda: self.now_s, **named)


def inode(path: str) -> int:
    return Path(path).stat().st_ino


def names_in(folder: Path) -> set[str]:
    return {it.name for it in folder.iterdir()}


def open_files() -> list[Path]:
    return [it.readlink() for it in Path("/proc/self/fd").iterdir() if it.is_symlink()]


async def test_a_relaxed_ledger_syncs_once_a_second_however_much_is_written(tmp_path: Path):
    """Each of the writes is told of before the next begins: a group, and a commit, of its own."""
    disk = Syncs()
    ledger = SqliteLedger(tmp_path / "ledger.db", durability="relaxed", writer=disk.writer)
    for number in range(20):
        disk.now_s = number / 25
        await ledger.reserve(intent(f"r{number}"))
    assert disk.count == 0
    disk.now_s = 1.0
    for number in range(20, 40):
        await ledger.reserve(intent(f"r{number}"))
    assert disk.count == 1
    await ledger.close()
    assert disk.count == 2, "what came after it is synced when the ledger closes"


async def test_a_relaxed_ledger_syncs_the_log_that_sqlite_leaves_unsynced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path, synced = tmp_path / "ledger.db", list[int]()
    fsync = os.fsync

    def watched(file: int) -> None:
        synced.append(os.fstat(file).st_ino)
        fsync(file)

    monkeypatch.setattr(os, "fsync", watched)
    ledger = SqliteLedger(path, durability="relaxed")
    await ledger.reserve(intent())
    log = inode(f"{path}-wal")
    await ledger.close()
    assert log in synced


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("durability", ["strict", "relaxed"])
async def test_a_closed_ledger_is_one_file_that_nobody_has_open(tmp_path: Path, durability: Any):
    """Then a copy of it is a whole ledger, and its folder can be unmounted."""
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, durability=durability)
    await ledger.reserve(intent())
    await ledger.settle("r1", 1, SETTLED)
    assert ends(ledger) == [SETTLED]
    await ledger.close()
    assert names_in(tmp_path) == {"ledger.db", "ledger.db-spare"}
    assert not [it for it in open_files() if it.is_relative_to(tmp_path)]
    copied = Path(shutil.copy(path, tmp_path / "copy.db"))
    copy = SqliteLedger(copied)
    assert (copy.recovered, ends(copy)) == (0, [SETTLED])
    await copy.close()


async def test_an_open_attempt_whose_place_another_wanted_is_closed_all_the_same(tmp_path: Path):
    ledger = SqliteLedger(tmp_path / "ledger.db")
    await ledger.reserve(intent(at_ns=1))
    with pytest.raises(LedgerUnavailable, match="booked already"):
        await ledger.reserve(intent(at_ns=2))
    await ledger.close()
    again = SqliteLedger(tmp_path / "ledger.db")
    assert ends(again) == [LOST]
    await again.close()


@pytest.mark.parametrize("is_late", [False, True], ids=["in time", "before the end"])
def test_a_request_that_is_over_is_not_remembered(tmp_path: Path, is_late: bool):
    """Else a server would grow by every request it has had: each is given back twice."""
    hold, releases = (
        Hold((2_000_000,), limits_at((Budget("all", "day", 2_000_000),), 1_000)),
        Releases(),
    )
    name = Name("r1")
    with (
        closing(open_for_writing(str(tmp_path / "ledger.db"), busy_s=1)) as connection,
        transaction(connection),
    ):
        held = held_values(hold, take(connection, hold))
        insert_intent(connection, intent_values(intent("r1")), 1, held)
        if is_late:
            assert releases.release(connection, (name,)), "it waits for the end"
        end = end_values("r1", 1, SETTLED)
        assert insert_end(connection, end)
        assert not insert_end(connection, end), "it has one"
        assert releases.release(connection, (name,))
        assert releases.release(connection, (name,)) is False, "there is nothing left to give back"
        seen = weakref.ref(name)
        del name
        assert seen() is None


async def test_a_ledger_that_is_closed_holds_nothing_whoever_still_works_on_its_request(
    tmp_path: Path,
):
    """An attempt that another writer has open counts with its worst case meanwhile."""
    first, second = (SqliteLedger(tmp_path / "ledger.db") for _ in range(2))
    hold = Hold((60,), limits_at((Budget("all", "day", 100),), 0))
    await first.reserve(intent("r1", at_ns=0, worst_case_nanousd=40), hold)
    await second.reserve(intent("r1", 2, at_ns=0, worst_case_nanousd=20))
    await first.settle("r1", 1, VOIDED)
    await first.close()
    assert [(row.nanousd, row.held_nanousd) for row in second.budgets()] == [(20, 0)]
    await second.close()
