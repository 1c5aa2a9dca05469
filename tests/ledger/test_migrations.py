"""A file that an older pointsman wrote: opened by this one, it tells what it told before."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.ledger.attempts import FAILED, HIT, LOST, OPEN, SETTLED, intent

from pointsman.core.errors import ConfigError
from pointsman.ledger import BudgetRow, Intent, Settlement
from pointsman.ledger.runs import this_process
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.ledger.sqlite_file import migrate
from pointsman.ledger.sqlite_rows import end_columns, intent_row
from pointsman.ledger.sqlite_schema import END_COLUMNS, INTENT_COLUMNS, MIGRATIONS

UNKNOWN = Settlement(state="unknown", outcome="failed", error="upstream_timeout")
LONG = "long_cache_write_tokens"
HELD = 9_000_000
LIMITS = '["1970-01-01 all"]'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def of_schema(path: Path, version: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, str(path), MIGRATIONS[:version])
    return connection


def add(file: sqlite3.Connection, asked: Intent, end: Settlement | None, run: int = 1) -> None:
    """Add an attempt as every schema up to the fourth had it."""
    marks = ", ".join("?" * 15)
    file.execute(
        f"INSERT INTO intents ({INTENT_COLUMNS}, run) VALUES ({marks})", (*intent_row(asked), run)
    )
    if end is None:
        return
    values = dict(zip(END_COLUMNS.split(","), end_columns(end), strict=True))
    columns = {name.strip(): value for name, value in values.items()}
    known = {row[1] for row in file.execute("PRAGMA table_info(ends)")}
    kept = {name: value for name, value in columns.items() if name.strip('"') in known}
    file.execute(
        f"INSERT INTO ends (request_id, attempt, {', '.join(kept)})"
        f" VALUES (?, ?, {', '.join('?' * len(kept))})",
        (asked.request_id, asked.attempt, *kept.values()),
    )


def test_ends_of_the_second_schema_wrote_nothing_for_an_hour(path: Path):
    """The second schema did not tell for how long what was written to a prompt cache is kept."""
    with closing(of_schema(path, 2)) as file:
        add(file, intent("r1"), SETTLED)
        file.execute("INSERT INTO runs VALUES (1, 'another boot', 1, '', 0)")
        add(file, intent("r2"), None)
    ledger = SqliteLedger(path)
    usage = msgspec.structs.replace(SETTLED.usage, long_cache_write_tokens=0)
    before = msgspec.structs.replace(SETTLED, usage=usage)
    assert [row.settlement for row in ledger.rows()] == [before, LOST]
    asyncio.run(ledger.close())


@pytest.fixture
def of_the_fourth(path: Path) -> Iterator[sqlite3.Connection]:
    """A file with a run of a dead process: three requests have ended, two are under way."""
    with closing(of_schema(path, 4)) as file:
        file.execute("INSERT INTO runs VALUES (7, 'another boot', 1, '', 2)")
        add(file, intent("ended", at_ns=1), SETTLED, run=6)
        add(file, intent("hit", at_ns=2), HIT, run=6)
        add(file, intent("unknown", at_ns=3), UNKNOWN, run=7)
        add(file, intent("tried", 1, at_ns=4), FAILED, run=7)
        add(file, intent("tried", 2, at_ns=5, worst_case_nanousd=5), None, run=7)
        add(file, intent("over", 1, at_ns=6), SETTLED, run=7)
        for name in ("tried", "over"):
            file.execute("INSERT INTO holds VALUES (?, 7, ?, ?)", (name, HELD, LIMITS))
        file.execute("INSERT INTO budgets VALUES ('all', '1970-01-01', 6234567, ?)", (2 * HELD,))
        yield file


@pytest.mark.usefixtures("of_the_fourth")
def test_the_fourth_schema_s_rows_budgets_and_orphans_are_as_they_were(path: Path):
    ledger = SqliteLedger(path)
    assert ledger.recovered == 1
    rows = [(row.intent.request_id, row.settlement) for row in ledger.rows()]
    assert rows == [
        ("ended", SETTLED),
        ("hit", HIT),
        ("unknown", UNKNOWN),
        ("tried", FAILED),
        ("tried", LOST),
        ("over", SETTLED),
    ]
    spent = 6_234_567 + 5 + 1_234_567
    assert list(ledger.budgets()) == [BudgetRow("all", "1970-01-01", spent, 0)]
    assert asyncio.run(ledger.rebuild_budgets()) == 0
    assert asyncio.run(ledger.reconcile("unknown", 1, 0))
    assert list(ledger.budgets()) == [BudgetRow("all", "1970-01-01", spent - 5_000_000, 0)]
    asyncio.run(ledger.close())


def test_whoever_reads_the_file_by_sql_finds_the_tables_of_the_fourth_schema(
    path: Path, of_the_fourth: sqlite3.Connection
):
    looks = [
        f"SELECT {INTENT_COLUMNS}, run FROM intents ORDER BY at_ns",
        f"SELECT request_id, attempt, {END_COLUMNS} FROM ends ORDER BY request_id, attempt",
        "SELECT request_id, run, nanousd, limits FROM holds ORDER BY request_id",
    ]
    before = [of_the_fourth.execute(look).fetchall() for look in looks]
    migrate(of_the_fourth, str(path))
    assert [of_the_fourth.execute(look).fetchall() for look in looks] == before
    live = of_the_fourth.execute("SELECT DISTINCT request_id FROM live").fetchall()
    assert live == [("over",), ("tried",)]


def test_a_file_to_which_an_older_pointsman_writes_is_left_to_it(
    path: Path, of_the_fourth: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    """Its next booking would fail: it knows no other tables."""
    me = this_process()
    values = (me.home, me.pid, me.started)
    of_the_fourth.execute("UPDATE runs SET home = ?, pid = ?, started = ?", values)
    with pytest.raises(ConfigError, match=f"older pointsman .process {me.pid}. writes to it; stop"):
        SqliteLedger(path)
    assert of_the_fourth.execute("PRAGMA user_version").fetchone() == (4,)
    of_the_fourth.execute("UPDATE runs SET started = 'long ago'")
    ledger = SqliteLedger(path)
    assert OPEN not in [row.settlement for row in ledger.rows()]
    asyncio.run(ledger.close())
