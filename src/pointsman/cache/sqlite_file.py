"""SQLite file: how the file of a cache is laid out, claimed, written and kept within its bound.

Rows stand in the order they were written, values side by side: a write touches the end of the file
and makes room at its beginning. (With the key as the row's number every row would land on a page of
its own: four times the time to write, measured with 100,000 entries of 2 kB.)

No memory map: a page that the disk cannot give would then be SIGBUS, the end of the process,
where a read is an error that we can count as a miss. It did not make reads faster either.
"""

import os
import sqlite3
import stat
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pointsman.core.errors import ConfigError

APPLICATION_ID = 0x504D6361  # "PMca", at byte 68 of the file (https://sqlite.org/fileformat2.html)
FORMAT = 1  # of the file, and mixed into each entry's checksum: another one is another world
BYTES_MAX_LEAST = 1024 * 1024

_PAGE_BYTES = 16_384  # seven values of 2 kB
_ROW_BYTES = 128  # beside the value: columns, index entry, their page headers
_SLACK_BYTES = 8 * _PAGE_BYTES  # pages half full, inner pages, the free list
_SHM_BYTES = 64 * 1024
_WAL_BYTES_MAX = 64 * 1024 * 1024
_READER_CACHE_KB = 8_192  # keeps the index in memory
_BUSY_S = 5.0  # until a lock held by another process is given up on
_HEADER = struct.Struct(">16s52xI")
_SEALED = struct.Struct("<I32sd")

# What a store in trouble may raise. UnicodeDecodeError: SQLite quotes a damaged schema in its
# message, and Python cannot read the quotation.
FAULTS = (sqlite3.Error, OSError, MemoryError, UnicodeDecodeError)

_CREATE = (
    "create table if not exists entries (seq integer primary key, id integer not null unique,"
    " key blob not null, written_s real not null, checksum integer not null, value blob not null)"
)
_SCHEMA = "select cast(sql as blob) from sqlite_schema where name = 'entries'"
_SELECT = "select seq, key, written_s, checksum, value from entries where id = ?"
# What is there and was written later stays: another process has a new answer, or has purged this
# one, while it waited to be written here. But not for longer than it is fresh, for the clock may
# have been set back.
_INSERT = (
    "insert or replace into entries (id, key, written_s, checksum, value)"
    " select ?1, ?2, ?3, ?4, ?5 where not exists (select 1 from entries"
    " where id = ?1 and key = ?2 and written_s > ?3 and written_s < ?3 + ?6)"
)
_DELETE = "delete from entries where id = ?"
_DELETE_EXPIRED = (
    "delete from entries where seq in (select seq from entries order by seq limit ?)"
    " and abs(? - written_s) >= ?"
)
_OLDEST = "select seq, ifnull(length(value), 0) from entries order by seq limit 256"
_TALLY = (
    "select sum(length(value) > ?1), sum(iif(length(value) > ?1, length(value), 0)),"
    " sum(length(value) = ?1) from entries"
)
_ENDS = "select (select min(seq) from entries), (select max(seq) from entries)"


@dataclass(frozen=True, slots=True)
class Change:
    """Keep `value` under `key`, or drop what is there when it is None."""

    key: bytes
    value: bytes | None = None
    written_s: float = 0.0

    @property
    def cost_bytes(self) -> int:
        """Return about what the change takes in the file, and while it waits."""
        return _ROW_BYTES + len(self.value or b"")


@dataclass(frozen=True, slots=True)
class Found:
    """An entry as it was written. `seq` grows with the order of writing."""

    seq: int
    written_s: float
    value: bytes


class CacheFile:
    """One file of at most `bytes_max` bytes, its write-ahead log included; 1 MiB at the least.

    `aging_below`: rows with a smaller `seq` stand in the half that will make room next; 0 while
    there is room. Raises ConfigError when the file cannot be opened or is not a cache of ours.
    """

    def __init__(self, path: Path, *, bytes_max: int) -> None:
        if bytes_max < BYTES_MAX_LEAST:
            raise ConfigError(
                f"[cache] path {str(path)!r}: {bytes_max} bytes are too few for a file;"
                f" allow {BYTES_MAX_LEAST} or more"
            )
        self._path = path
        self._wal_path = Path(f"{path}-wal")
        self._wal_bytes_max = min(_WAL_BYTES_MAX, bytes_max // 4)
        self._main_bytes_max = bytes_max - self._wal_bytes_max - _SHM_BYTES
        self.entry_bytes_max = self._wal_bytes_max // 8
        self.aging_below = 0
        self._writer = self._open()

    def reader(self) -> sqlite3.Connection:
        """Return a connection for `find`, which never waits for a lock."""
        connection = sqlite3.connect(
            self._path, timeout=0, isolation_level=None, check_same_thread=False
        )
        self._guard(connection)
        connection.execute("pragma query_only = on")
        connection.execute(f"pragma cache_size = -{_READER_CACHE_KB}")
        return connection

    def write(self, changes: Sequence[Change], *, now_s: float, ttl_s: float) -> None:
        """Make the changes in one transaction, after room for them; drop some expired entries.

        Raises one of FAULTS, and then none of them is made.
        """
        if self._wal_bytes() > self._wal_bytes_max // 2:
            self._checkpoint()  # raises while a reader in another process holds the log
        connection = self._writer
        with connection:
            connection.execute("begin immediate")
            connection.execute(_DELETE_EXPIRED, (2 * len(changes), now_s, ttl_s))
            self._make_room(sum(change.cost_bytes for change in changes))
            for change in changes:
                _apply(connection, change, ttl_s)
        is_filling = self._used_bytes() > self._main_bytes_max * 3 // 4
        first, last = connection.execute(_ENDS).fetchone()
        self.aging_below = (first + last) // 2 if is_filling and first is not None else 0
        if self._wal_bytes() > self._wal_bytes_max // 4:
            self._checkpoint()

    def start_over(self) -> None:
        """Replace the file by an empty one. Raises ConfigError when that cannot be."""
        self.close()
        self._remove()
        self._writer = self._open()

    def close(self) -> None:
        """Let go of the file; never raises."""
        with suppress(*FAULTS):
            self._writer.close()

    def _open(self) -> sqlite3.Connection:
        try:
            _claim(self._path)
            try:
                return self._connect()
            except FAULTS as error:
                if not is_damage(error):
                    raise
            self._remove()
            _claim(self._path)
            return self._connect()
        except (*FAULTS, ValueError) as error:  # ValueError: a NUL in the path
            raise _refused(self._path, f"cannot be opened ({error})") from error

    def _connect(self) -> sqlite3.Connection:
        """Return a connection to a file of this format and size, new where it is empty.

        Raises sqlite3.DatabaseError; with SQLITE_NOTADB's code where the file is to be replaced.
        """
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            self._guard(connection)
            connection.execute(f"pragma page_size = {_PAGE_BYTES}")
            if not self._is_usable(connection):
                raise _replaceable("it is of another format or larger than its bound")
            with connection:
                connection.execute("begin immediate")
                connection.execute(f"pragma application_id = {APPLICATION_ID}")
                connection.execute(f"pragma user_version = {FORMAT}")
                connection.execute(_CREATE)
            # Only now: a process killed before this leaves an empty file or one that is ours.
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.execute("pragma wal_autocheckpoint = 0")
            connection.execute(f"pragma max_page_count = {self._main_bytes_max // _PAGE_BYTES}")
        except BaseException:  # whatever stops the opening, the file is let go
            connection.close()
            raise
        return connection

    def _guard(self, connection: sqlite3.Connection) -> None:
        """Believe nothing that a damaged file may say: no code in its schema, no huge value."""
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self.entry_bytes_max + _PAGE_BYTES)
        connection.execute("pragma trusted_schema = off")
        connection.execute("pragma cell_size_check = on")
        connection.execute("pragma mmap_size = 0")

    def _is_usable(self, connection: sqlite3.Connection) -> bool:
        page_count = connection.execute("pragma page_count").fetchone()[0]
        if page_count == 0:
            return True
        page_bytes = connection.execute("pragma page_size").fetchone()[0]
        found_format = connection.execute("pragma user_version").fetchone()[0]
        (schema,) = connection.execute(_SCHEMA).fetchone() or (b"",)
        return bool(
            found_format == FORMAT
            and schema.partition(b"(")[2] == _CREATE.partition("(")[2].encode()
            and page_bytes == _PAGE_BYTES
            and page_count * page_bytes <= self._main_bytes_max
        )

    def _make_room(self, need_bytes: int) -> None:
        """Drop the oldest rows until `need_bytes` more fit; each round drops one at the least."""
        while True:
            excess = self._used_bytes() + need_bytes + _SLACK_BYTES - self._main_bytes_max
            last = None
            for seq, length in self._writer.execute(_OLDEST).fetchall() if excess > 0 else ():
                last, excess = seq, excess - length - _ROW_BYTES
                if excess <= 0:
                    break
            if last is None:
                return
            self._writer.execute("delete from entries where seq <= ?", (last,))

    def _used_bytes(self) -> int:
        pages = self._writer.execute("pragma page_count").fetchone()[0]
        free = self._writer.execute("pragma freelist_count").fetchone()[0]
        return int(pages - free) * _PAGE_BYTES

    def _wal_bytes(self) -> int:
        try:
            return self._wal_path.stat().st_size
        except FileNotFoundError:
            return 0

    def _checkpoint(self) -> None:
        (is_busy, _, _) = self._writer.execute("pragma wal_checkpoint(truncate)").fetchone()
        if is_busy:
            raise sqlite3.OperationalError("the write-ahead log is held by another reader")

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)


def find(connection: sqlite3.Connection, key: bytes) -> Found | None:
    """Return the entry under `key`, None when there is none.

    Raises one of FAULTS; sqlite3.DataError when what is there is not what was written.
    """
    row = connection.execute(_SELECT, (_id(key),)).fetchone()
    match row:
        case None:
            return None
        case (int(seq), bytes(found), float(written_s), int(checksum), bytes(value)) if (
            found == key and checksum == _checksum(key, written_s, value)
        ):
            return Found(seq, written_s, value)
        case _:
            raise sqlite3.DataError("an entry does not fit its checksum")


class Tally(msgspec.Struct, frozen=True):
    """What a file holds, fresh or not: `answers` and their bytes, `aliases` that lead to one."""

    answers: int
    answer_bytes: int
    aliases: int


def tally(connection: sqlite3.Connection, *, alias_bytes: int) -> Tally:
    """Return what a file holds; a value of `alias_bytes` is an alias. Raises one of FAULTS."""
    answers, size, aliases = connection.execute(_TALLY, (alias_bytes,)).fetchone()
    return Tally(answers or 0, size or 0, aliases or 0)


def is_damage(error: BaseException) -> bool:
    """Return whether the fault is that the file's structure is broken."""
    if isinstance(error, UnicodeDecodeError):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _apply(connection: sqlite3.Connection, change: Change, ttl_s: float) -> None:
    key, value, written_s = change.key, change.value, change.written_s
    if value is None:
        connection.execute(_DELETE, (_id(key),))
        return
    checksum = _checksum(key, written_s, value)
    connection.execute(_INSERT, (_id(key), key, written_s, checksum, value, ttl_s))


def _id(key: bytes) -> int:
    """Return the key's first 8 bytes as SQLite's integer; two keys that share it share a place."""
    return int.from_bytes(key[:8], "big", signed=True)


def _checksum(key: bytes, written_s: float, value: bytes) -> int:
    """Return the CRC-32 of the whole entry and the format; see `entry.py` for why a CRC."""
    return zlib.crc32(value, zlib.crc32(_SEALED.pack(FORMAT, key, written_s)))


def _claim(path: Path) -> None:
    """Make the file if it is not there, readable by its owner alone.

    Raises ConfigError, having changed nothing, when it is not a cache of ours; OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _refused(path, "is not a regular file")
        header = os.read(descriptor, _HEADER.size)
        if header and not _is_ours(header):
            raise _refused(path, "is there already and is not a cache of pointsman's")
        path.chmod(0o600)
    finally:
        os.close(descriptor)


def _is_ours(header: bytes) -> bool:
    return len(header) == _HEADER.size and _HEADER.unpack(header) == (
        b"SQLite format 3\0",
        APPLICATION_ID,
    )


def _refused(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"[cache] path {str(path)!r} {why}; name a file in a directory that can be written to,"
        " or remove path to keep the cache in memory alone"
    )


def _replaceable(why: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error
