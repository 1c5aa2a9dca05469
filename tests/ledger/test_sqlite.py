"""The SQLite ledger: its file, its faults (locked, full, foreign), its writers, its URLs."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.ledger.attempts import FAILED, HIT, LOST, OPEN, SETTLED, VOIDED, ends, intent, lock

from pointsman.core.errors import ConfigError, LedgerUnavailable
from pointsman.core.usage import Usage
from pointsman.ledger import LedgerSettings, Row, Settlement
from pointsman.ledger.opening import open_ledger
from pointsman.ledger.runs import Process, is_alive, this_process
from pointsman.ledger.sqlite import SqliteLedger
from pointsman.ledger.sqlite_file import SPARE_BYTES, Spare, migrate
from pointsman.ledger.sqlite_schema import MIGRATIONS

# The file


def test_the_files_can_be_read_by_their_owner_alone(tmp_path: Path):
    path = tmp_path / "ledger.db"
    umask = os.umask(0)
    try:
        ledger = SqliteLedger(path)
        asyncio.run(ledger.reserve(intent()))
    finally:
        os.umask(umask)
    modes = {it.name: stat.S_IMODE(it.stat().st_mode) for it in tmp_path.iterdir()}
    assert modes == dict.fromkeys(
        ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-spare"], 0o600
    )
    asyncio.run(ledger.close())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no/such/ledger.db", "no/such does not exist; create it, or change"),
        (".", "is a folder; name a file"),
        ("nul\0.db", "cannot be opened"),
    ],
    ids=["folder missing", "is a folder", "no path"],
)
def test_a_path_that_cannot_be_a_ledger_is_named_with_its_remedy(
    tmp_path: Path, name: str, says: str
):
    with pytest.raises(ConfigError, match=says) as caught:
        SqliteLedger(f"{tmp_path}/{name}")
    assert repr(f"{tmp_path}/{name}").strip("'") in caught.value.message


def test_a_file_that_is_no_database_is_left_as_it_was(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("This is not a database, and it is long enough to be looked at. " * 20)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"notes\.txt.*file is not a database"):
        SqliteLedger(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_left_as_it_was(tmp_path: Path):
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE intents (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="belongs to another program"):
        SqliteLedger(path)
    assert path.read_bytes() == before


def test_a_newer_pointsmans_file_is_refused_with_its_version(tmp_path: Path):
    path = tmp_path / "ledger.db"
    asyncio.run(SqliteLedger(path).close())
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer.close()
    newest = len(MIGRATIONS)
    says = rf"schema {newest + 1}, this one knows up to {newest}\); upgrade pointsman"
    with pytest.raises(ConfigError, match=says):
        SqliteLedger(path)


def test_a_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path):
    """The first schema had neither audits nor readings."""
    path = tmp_path / "ledger.db"
    old = sqlite3.connect(path, isolation_level=None)
    migrate(old, str(path), MIGRATIONS[:1])
    old.close()
    ledger = SqliteLedger(path)
    ledger.keep_reading("r1", "[]")
    assert list(ledger.audits()) == [] and list(ledger.labels()) == []
    asyncio.run(ledger.close())
    file = sqlite3.connect(path)
    assert file.execute("SELECT request_id, reading FROM readings").fetchall() == [("r1", "[]")]
    file.close()


async def test_a_migration_adds_to_the_schema_and_keeps_the_rows(tmp_path: Path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path)
    await ledger.reserve(intent())
    await ledger.close()
    connection = sqlite3.connect(path, isolation_level=None)
    one_more = (*MIGRATIONS, ("ALTER TABLE runs ADD COLUMN region TEXT NOT NULL DEFAULT 'eu'",))
    for _ in range(2):  # the second time there is nothing to do
        migrate(connection, str(path), one_more)
        assert connection.execute("SELECT request_id FROM intents").fetchall() == [("r1",)]
        assert connection.execute("SELECT region FROM runs").fetchall() == []
        assert connection.execute("PRAGMA user_version").fetchone() == (len(one_more),)
    connection.close()


def test_a_migration_that_fails_leaves_the_version_before_it(tmp_path: Path):
    path = tmp_path / "ledger.db"
    asyncio.run(SqliteLedger(path).close())
    connection = sqlite3.connect(path, isolation_level=None)
    broken = (*MIGRATIONS, ("CREATE TABLE half (x)", "CREATE TABLE half (x)"))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection, str(path), broken)
    connection.close()
    asyncio.run(SqliteLedger(path).close())


def test_processes_that_open_a_new_file_at_once_all_can(tmp_path: Path):
    code = (
        "import asyncio, sys; from pointsman.ledger.sqlite import SqliteLedger;"
        "sys.stdin.read(1); asyncio.run(SqliteLedger(sys.argv[1]).close())"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "ledger.db")], stdin=subprocess.PIPE
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin
        child.stdin.write(b"\n")
        child.stdin.flush()
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0] * 4


# Faults


async def test_a_lock_is_waited_out(tmp_path: Path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, busy_s=60)
    other = lock(path)
    writing = asyncio.create_task(ledger.reserve(intent()))
    await asyncio.sleep(0)  # it is queued
    other.close()
    await writing
    assert ends(ledger) == [OPEN]
    await ledger.close()


async def test_past_the_wait_intents_are_refused_and_ends_are_kept(tmp_path: Path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, busy_s=0.01)
    await ledger.reserve(intent("r1"))
    await ledger.reserve(intent("r2"))
    other = lock(path)
    ledger.close_attempt("r2", 1, FAILED)
    for refused in (
        ledger.reserve(intent("r3")),
        ledger.settle("r1", 1, SETTLED),
        ledger.book_hit(intent("r4"), HIT),
        ledger.book_feedback("r1", "acme", 1.0, 1),
    ):
        with pytest.raises(LedgerUnavailable, match="database is locked"):
            await refused
    assert ends(ledger) == [OPEN, OPEN]  # reading is not in the way of the lock
    other.close()
    await ledger.reserve(intent("r3"))  # the same writer, and what was kept went first
    assert ends(ledger) == [SETTLED, FAILED, OPEN]
    await ledger.close()


async def test_a_file_that_stays_locked_does_not_keep_the_ledger_from_closing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, busy_s=0.01)
    await ledger.reserve(intent())
    other = lock(path)
    ledger.close_attempt("r1", 1, SETTLED)
    await ledger.close()
    assert "1 ends could not be written" in caplog.text
    other.close()
    # Its run is still entered, but this process lives: its orphan waits for a later one.
    again = SqliteLedger(path)
    assert (again.recovered, ends(again)) == (0, [OPEN])
    await again.close()


def test_a_file_that_is_locked_at_the_start_is_unavailable(tmp_path: Path):
    path = tmp_path / "ledger.db"
    asyncio.run(SqliteLedger(path).close())
    other = lock(path)
    with pytest.raises(LedgerUnavailable, match="database is locked"):
        SqliteLedger(path, busy_s=0.01)
    other.close()


async def test_a_full_queue_refuses_intents_but_takes_ends(tmp_path: Path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, busy_s=60, queue_max=1)
    await ledger.reserve(intent("r0"))
    other = lock(path)
    # The writer holds what it took, so the queue is full after one more than that at the latest.
    writing = [asyncio.create_task(ledger.reserve(intent(f"r{n}", at_ns=n))) for n in range(1, 600)]
    await asyncio.sleep(0)
    ledger.close_attempt("r0", 1, SETTLED)
    other.close()
    results = await asyncio.gather(*writing, return_exceptions=True)
    refused = [it for it in results if it is not None]
    assert refused and all("writes are waiting" in str(it) for it in refused)
    rows = list(ledger.rows())
    assert len(rows) == 600 - len(refused)
    assert {row.settlement.outcome for row in rows if row.intent.request_id == "r0"} == {"answered"}
    await ledger.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; making one takes rights that not every machine gives."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a file system here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


async def test_on_a_full_disk_what_is_under_way_is_settled_and_nothing_new_begins(
    small_disk: Path, caplog: pytest.LogCaptureFixture
):
    ledger = SqliteLedger(small_disk / "ledger.db")
    for number in range(20):
        await ledger.reserve(intent(f"r{number}", at_ns=number))
    filler = small_disk / "filler"
    fill(filler)
    for number in range(20):
        with pytest.raises(LedgerUnavailable, match="full"):
            await ledger.reserve(intent(f"n{number}"))
        await ledger.settle(f"r{number}", 1, SETTLED)
    with pytest.raises(LedgerUnavailable, match="full"):
        await ledger.reserve(intent("still refused, although the spare is free"))
    filler.unlink()
    await ledger.reserve(intent("new"))
    assert ends(ledger) == [SETTLED] * 20 + [OPEN]
    assert (small_disk / "ledger.db-spare").stat().st_size == SPARE_BYTES
    said = [it.getMessage() for it in caplog.records if it.name.startswith("pointsman")]
    assert [message.split(": ")[1] for message in said][-1] == "writes again"
    await ledger.close()


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from pointsman.core.errors import LedgerUnavailable
from pointsman.ledger.sqlite import SqliteLedger
from tests.ledger.attempts import SETTLED, intent

async def refused(writing):
    try:
        await writing
    except LedgerUnavailable:
        return
    raise SystemExit("was not refused")

async def main(path):
    ledger = SqliteLedger(path)
    await ledger.reserve(intent("r1"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = Path(path + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    await refused(ledger.reserve(intent("r2")))
    await refused(ledger.settle("r1", 1, SETTLED))
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    await ledger.reserve(intent("r3"))
    assert [row.settlement.outcome for row in ledger.rows()] == ["answered", "pending"]
    await ledger.settle("r3", 1, SETTLED)
    await ledger.close()

asyncio.run(main(sys.argv[1]))
"""


def test_a_file_that_may_not_grow_is_unavailable_until_it_may(tmp_path: Path):
    path = tmp_path / "ledger.db"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], check=False)
    assert done.returncode == 0
    ledger = SqliteLedger(path)
    assert [(row.intent.request_id, row.settlement) for row in ledger.rows()] == [
        ("r1", SETTLED),
        ("r3", SETTLED),
    ]
    asyncio.run(ledger.close())


def test_the_spare_says_whether_there_was_room_to_give(tmp_path: Path):
    spare = Spare(str(tmp_path / "ledger.db"))
    assert (spare.give(), spare.make(), spare.make(), spare.give(), spare.give()) == (
        False,
        True,
        True,
        True,
        False,
    )
    assert not Spare(str(tmp_path / "no" / "ledger.db")).make()


async def test_one_row_that_cannot_be_written_does_not_hold_up_the_others():
    ledger = SqliteLedger(":memory:")
    await ledger.reserve(intent("r1"))
    bad = asyncio.create_task(ledger.reserve(intent("r2", attempt=2**70)))
    good = asyncio.create_task(ledger.settle("r1", 1, SETTLED))
    results = await asyncio.gather(bad, good, return_exceptions=True)
    assert isinstance(results[0], LedgerUnavailable)
    assert results[1] is None
    with pytest.raises(LedgerUnavailable, match="cannot be written"):
        await ledger.settle("r1", 2**70, SETTLED)
    await ledger.reserve(intent("r3"))
    assert ends(ledger) == [SETTLED, OPEN]
    await ledger.close()


async def test_what_an_upstream_claims_is_stored_as_near_as_it_can_be():
    ledger = SqliteLedger(":memory:")
    await ledger.reserve(intent("r1", reason="half a pair: \ud83d"))
    claimed = Settlement(
        state="settled", outcome="answered", usage=Usage(output_tokens=10**30), error="\udfff"
    )
    await ledger.settle("r1", 1, claimed)
    (row,) = ledger.rows()
    assert row.intent.reason == "half a pair: ?"
    assert (row.settlement.usage.output_tokens, row.settlement.error) == (2**63 - 1, "?")
    await ledger.close()


# Loops, threads and writers


async def test_a_reserve_cancelled_while_it_waits_is_voided_when_the_lock_is_gone(tmp_path: Path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, busy_s=60)
    other = lock(path)
    waiting = asyncio.create_task(ledger.reserve(intent("r1")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    other.close()
    await ledger.reserve(intent("r2"))
    assert ends(ledger) == [VOIDED, OPEN]
    await ledger.close()


def test_a_write_whose_loop_was_closed_meanwhile_hangs_nobody(tmp_path: Path):
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, busy_s=60)
    other = lock(path)
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(ledger.reserve(intent("r1")))
    loop.run_until_complete(asyncio.wait({waiting}, timeout=0))
    loop.close()
    other.close()

    async def later() -> None:
        await ledger.reserve(intent("r2"))
        await ledger.close()

    asyncio.run(later())
    assert not waiting.done()
    again = SqliteLedger(path)
    assert ends(again) == [LOST, LOST]
    asyncio.run(again.close())


def test_what_is_queued_is_written_when_the_process_ends_without_closing(tmp_path: Path):
    code = """
import asyncio, sys
from pointsman.ledger.sqlite import SqliteLedger
from tests.ledger.attempts import SETTLED, intent

async def main():
    ledger = SqliteLedger(sys.argv[1])
    for number in range(50):
        await ledger.reserve(intent(f"r{number}"))
    for number in range(50):
        ledger.close_attempt(f"r{number}", 1, SETTLED)

asyncio.run(main())
"""
    path = tmp_path / "ledger.db"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    ledger = SqliteLedger(path)
    assert (ledger.recovered, ends(ledger)) == (0, [SETTLED] * 50)
    asyncio.run(ledger.close())


def test_orphans_are_found_however_many_attempts_came_after_them(tmp_path: Path):
    """What has ended is moved out of the next start's way, what is open never."""
    code = """
import asyncio, os, sys
from pointsman.ledger.sqlite import SqliteLedger
from tests.ledger.attempts import SETTLED, intent

async def book(ledger, number):
    await ledger.reserve(intent(f"r{number}"))
    if number not in (6_000, 12_000):
        await ledger.settle(f"r{number}", 1, SETTLED)

async def main():
    ledger = SqliteLedger(sys.argv[1])
    for start in range(0, 13_000, 500):
        await asyncio.gather(*(book(ledger, start + number) for number in range(500)))
    os._exit(9)

asyncio.run(main())
"""
    path = tmp_path / "ledger.db"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    connection = sqlite3.connect(path)
    (live,) = connection.execute("SELECT count(*) FROM live").fetchone()
    connection.close()
    assert live < 2 * 512, "the next start looks through these"
    ledger = SqliteLedger(path)
    lost = {row.intent.request_id for row in ledger.rows() if row.settlement == LOST}
    assert (ledger.recovered, lost) == (2, {"r6000", "r12000"})
    asyncio.run(ledger.close())


async def test_two_ledgers_of_one_process_share_a_file(tmp_path: Path):
    first, second = (SqliteLedger(tmp_path / "ledger.db") for _ in range(2))
    await asyncio.gather(*(first.reserve(intent(f"a{n}", at_ns=1)) for n in range(50)))
    await asyncio.gather(*(second.reserve(intent(f"b{n}", at_ns=2)) for n in range(50)))
    await second.settle("a0", 1, SETTLED)
    await first.close()
    assert ends(second) == [SETTLED] + [LOST] * 49 + [OPEN] * 50
    await second.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_is_told_from_another_one_with_its_number():
    me = this_process()
    assert is_alive(me)
    assert not is_alive(Process(me.home, me.pid, "another time"))
    assert not is_alive(Process("another boot", me.pid, me.started))
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    theirs = Process(me.home, child.pid, started)
    assert is_alive(theirs)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(theirs)  # dead, although nobody has asked for its status yet
    child.communicate()
    assert not is_alive(theirs)


def test_relaxed_files_say_so_to_sqlite(tmp_path: Path):
    strict = SqliteLedger(tmp_path / "strict.db")
    relaxed = SqliteLedger(tmp_path / "relaxed.db", durability="relaxed")
    for ledger, synchronous in ((strict, 2), (relaxed, 1)):
        assert ledger._connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        asyncio.run(ledger.close())


# URLs


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "SQLite://"])
def test_a_ledger_in_memory_leaves_no_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    ledger = open_ledger(url)
    asyncio.run(ledger.reserve(intent()))
    assert list(ledger.rows()) == [Row(intent=intent(), settlement=OPEN)]
    assert list(tmp_path.iterdir()) == []
    asyncio.run(ledger.close())


def test_three_slashes_are_relative_and_four_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    ledgers = [
        open_ledger(LedgerSettings().url),
        open_ledger(f"sqlite:///{tmp_path}/with space%20.db"),
    ]
    for ledger in ledgers:
        asyncio.run(ledger.reserve(intent()))
        assert len(list(ledger.rows())) == 1
    assert {it.name for it in tmp_path.glob("*.db")} == {"pointsman.db", "with space%20.db"}
    for ledger in ledgers:
        asyncio.run(ledger.close())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("pointsman.db", "it has no scheme; write"),
        ("", "it has no scheme"),
        ("oracle://db/x", r'nobody knows the scheme "oracle" \(known: .*sqlite'),
        ("sqlite://pointsman.db", "three slashes; write"),
        ("sqlite:///a.db?mode=ro", "mean nothing here"),
    ],
    ids=["no scheme", "empty", "unknown", "two slashes", "parameters"],
)
def test_a_url_that_says_nothing_usable_is_named_with_its_remedy(url: str, says: str):
    with pytest.raises(ConfigError, match=says) as caught:
        open_ledger(url)
    assert f'url "{url}"' in caught.value.message


def test_a_password_in_a_url_is_not_repeated():
    with pytest.raises(ConfigError) as caught:
        open_ledger("oracle://me:hunter2@db/x")
    assert "hunter2" not in caught.value.message
    assert "//***@db/x" in caught.value.message


def test_another_scheme_is_an_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    info = tmp_path / "paper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pointsman.ledgers]\npaper = paper:Paper\n")
    (tmp_path / "paper.py").write_text(
        "class Paper:\n    def __init__(self, url): self.url = url\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    opened = open_ledger("paper://desk/1")
    assert vars(opened) == {"url": "paper://desk/1"}
