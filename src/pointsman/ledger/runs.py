"""Runs: who writes to a ledger's file, so that only the attempts of the dead are closed for them.

Every opening of the file adds a row to `runs` and every intent names its run. A writer that closes
in good order takes its row away; a row that is still there belongs to a writer that lives, or to
one that died. A process id alone cannot tell, because it is used again, so the row also keeps when
the process was started and under which boot and process-id namespace the id counts:

* another boot or namespace: dead. (Two containers that share one file therefore close each other's
  open attempts when they start: give each its own file.)
* Linux: dead when `/proc` has no such process, a zombie, or one that was started at another time.
* elsewhere without `/proc`: dead when no process has the id. An id in use again looks alive, and
  then its orphans stay open until a later start: late, but never wrong.
* Windows: nothing can be asked without rights, so every other process counts as dead.
"""

import os
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path

from pointsman.ledger.sqlite_budgets import release_run
from pointsman.ledger.sqlite_rows import move_to_the_past

_PROC = Path("/proc")
_STATE, _START_TIME = 0, 19  # fields 3 and 22 of proc(5)'s stat, counted after the name
_DEAD_STATES = {"Z", "X"}

_CLOSE_ORPHANS = """
UPDATE live SET state = 'unknown', outcome = 'lost' WHERE run = ? AND state IS NULL
"""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for another, as far as the system lets us tell.

    `home`: boot and namespace in which `pid` counts. `started`: the system's own words for when.
    """

    home: str
    pid: int
    started: str


def this_process() -> Process:
    """Return the process that asks."""
    return Process(_home(), os.getpid(), _started(os.getpid()) or "")


def is_alive(process: Process) -> bool:
    """Return whether the process still runs, as the module's docstring has it."""
    me = this_process()
    if process.home != me.home:
        return False
    if process.pid == me.pid:
        return process.started == me.started
    if _has_proc():
        return _started(process.pid) == process.started
    return sys.platform != "win32" and _answers(process.pid)


def begin_run(connection: sqlite3.Connection) -> tuple[int, int]:
    """Close the orphans of dead runs and enter a new one; return its number and how many they were.

    The caller holds the write lock: of two starts at once, the second finds nothing left to close.
    """
    recovered = 0
    runs = connection.execute("SELECT run, home, pid, started FROM runs").fetchall()
    for run, home, pid, started in runs:
        if not is_alive(Process(home, pid, started)):
            recovered += close_run(connection, run)
    me = this_process()
    # The last column was of use to schema 4.
    entered = connection.execute(
        "INSERT INTO runs (home, pid, started, after_rowid) VALUES (?, ?, ?, 0)",
        (me.home, me.pid, me.started),
    )
    assert entered.lastrowid is not None
    return entered.lastrowid, recovered


def close_run(connection: sqlite3.Connection, run: int) -> int:
    """Close what a run has left open, give back what it holds, and take it away.

    Returns how many attempts that were.
    """
    closed = connection.execute(_CLOSE_ORPHANS, (run,)).rowcount
    release_run(connection, run)
    move_to_the_past(connection)
    connection.execute("DELETE FROM runs WHERE run = ?", (run,))
    return closed


def _has_proc() -> bool:
    return (_PROC / "self" / "stat").exists()


def _home() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name stands in brackets and may itself contain any character, brackets too.
    fields = stat.rpartition(")")[2].split()
    return None if fields[_STATE] in _DEAD_STATES else fields[_START_TIME]


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
