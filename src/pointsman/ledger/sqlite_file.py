"""The ledger's SQLite file: opened or created, checked, and brought to this version's schema."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pointsman.core.errors import ConfigError, LedgerUnavailable
from pointsman.ledger import Durability
from pointsman.ledger.runs import Process, is_alive
from pointsman.ledger.sqlite_schema import APPLICATION_ID, MIGRATIONS

MEMORY = ":memory:"
SPARE_BYTES = 512 * 1024


def open_for_writing(
    path: str, *, durability: Durability = "strict", busy_s: float
) -> sqlite3.Connection:
    """Return a connection that any thread may use, one at a time; a new file has mode 0600.

    Raises ConfigError when the file cannot be a ledger, LedgerUnavailable while it is locked.
    """
    try:
        if path == MEMORY:
            connection = sqlite3.connect(MEMORY, isolation_level=None, check_same_thread=False)
        else:
            _create(Path(path))
            connection = _connect(path, mode="rw", busy_s=busy_s)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise ConfigError(_cannot_open(path, str(error))) from error
    try:
        _version(connection, path, newest=len(MIGRATIONS))
        if path != MEMORY:
            _set_up(connection, path, durability)
        migrate(connection, path)
    except sqlite3.Error as error:
        connection.close()
        if is_busy(error):
            raise LedgerUnavailable(f"ledger {path}: locked by another process: {error}") from error
        raise ConfigError(_cannot_open(path, str(error))) from error
    except BaseException:  # whatever stops the opening, the file is let go
        connection.close()
        raise
    return connection


def open_for_reading(path: str, *, busy_s: float) -> sqlite3.Connection:
    """Return a connection that can only read. Raises sqlite3.Error."""
    connection = _connect(path, mode="ro", busy_s=busy_s)
    connection.execute("PRAGMA query_only = ON")
    return connection


def migrate(
    connection: sqlite3.Connection,
    path: str,
    migrations: tuple[tuple[str, ...], ...] = MIGRATIONS,
) -> None:
    """Bring the schema to the last of `migrations`, all in one transaction.

    Raises ConfigError when the file is another program's, or a newer pointsman's, or an older one
    writes to it.
    """
    if _version(connection, path, newest=len(migrations)) == len(migrations):
        return
    with transaction(connection):
        # Read again: another process may have brought it up to date while we waited for the lock.
        version = _version(connection, path, newest=len(migrations))
        if 0 < version < len(migrations):
            _refuse_beside_others(connection, path)
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock; commit at the end, or undo everything when anything is raised."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection holds the lock, so that waiting helps."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_full(error: sqlite3.Error) -> bool:
    """Return whether the disk has no room left."""
    return _code(error) == sqlite3.SQLITE_FULL


class Spare:
    """Room kept back beside the ledger, so that what is under way can be settled on a full disk.

    The file holds nothing and stays when the ledger is closed: other writers count on it too. It is
    given up when the disk is full; whether it can be made again tells whether there is room again.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(f"{path}-spare")
        self.is_there = False

    def make(self) -> bool:
        """Take the room; return False when there is none."""
        try:
            flags = os.O_WRONLY | os.O_CREAT
            with os.fdopen(os.open(self._path, flags, 0o600), "wb") as file:
                if os.fstat(file.fileno()).st_size < SPARE_BYTES:
                    _allocate(file, SPARE_BYTES)
            self.is_there = True
        except OSError:
            self.give()
        return self.is_there

    def give(self) -> bool:
        """Free the room; return False when there was none to free."""
        self.is_there = False
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def _code(error: sqlite3.Error) -> int:
    # The low byte is the primary code, the rest says more. Source: sqlite.org/rescode.html.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _allocate(file: BinaryIO, size: int) -> None:
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.write(bytes(size))


def _create(path: Path) -> None:
    """Make the file when there is none: SQLite would leave the mode to the umask.

    An existing file is not opened here: closing it would drop the locks that another connection of
    this process holds on it. Source: sqlite.org/howtocorrupt.html, section 2.2.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _connect(path: str, *, mode: str, busy_s: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{Path(path).absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_s,
        isolation_level=None,
        check_same_thread=False,
    )


def _set_up(connection: sqlite3.Connection, path: str, durability: Durability) -> None:
    (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if journal != "wal":
        raise ConfigError(_cannot_open(path, f"its file system gives journal mode {journal}"))
    connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'strict' else 'NORMAL'}")


def _version(connection: sqlite3.Connection, path: str, *, newest: int) -> int:
    with _one_view(connection):
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
        (is_used,) = connection.execute("SELECT count(*) > 0 FROM sqlite_master").fetchone()
    if owner != APPLICATION_ID and (is_used or version or owner):
        raise ConfigError(
            f"ledger {path}: the file belongs to another program;"
            " set [ledger] url to a file of its own"
        )
    if version > newest:
        raise ConfigError(
            f"ledger {path}: written by a newer pointsman (schema {version}, this one knows up to"
            f" {newest}); upgrade pointsman, or set [ledger] url to another file"
        )
    return version


def _refuse_beside_others(connection: sqlite3.Connection, path: str) -> None:
    """Leave the tables alone while an older pointsman writes to them: it knows no others."""
    for home, pid, started in connection.execute("SELECT home, pid, started FROM runs").fetchall():
        if is_alive(Process(home, pid, started)):
            raise ConfigError(
                f"ledger {path}: an older pointsman (process {pid}) writes to it; stop that one"
                " first, or set [ledger] url to another file"
            )


@contextmanager
def _one_view(connection: sqlite3.Connection) -> Iterator[None]:
    """Let several reads see one state of the file: another process may be setting it up.

    Without it test_processes_that_open_a_new_file_at_once_all_can fails about once in ten times.
    """
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def _cannot_open(path: str, why: str) -> str:
    file = Path(path).absolute()
    if "\0" not in path:
        if not file.parent.is_dir():
            return (
                f"ledger {path}: the folder {file.parent} does not exist;"
                " create it, or change [ledger] url"
            )
        if file.is_dir():
            return f"ledger {path}: is a folder; name a file in it in [ledger] url"
    return (
        f"ledger {path!r}: cannot be opened ({why}); make file and folder writable for this user,"
        " or set [ledger] url to another file"
    )
