"""SqliteKeys: virtual keys in the ledger's SQLite file, by connections of their own."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar

import msgspec

from pointsman.access import Key, Keys, check_name
from pointsman.access.secret import digest, new_secret, random_bytes
from pointsman.core.errors import AuthUnavailable, GatewayError, RequestError
from pointsman.core.grants import Grant
from pointsman.core.secret import SecretBytes
from pointsman.ledger.sqlite_file import open_for_reading, open_for_writing, transaction

# For the operator's commands, which may wait; a running server only reads, and never waits long.
_WRITE_BUSY_S = 5.0
_READ_BUSY_S = 0.25
_RETRY_AFTER_S = 1.0

# Of one name, or of all where it is NULL.
_KEYS = """
SELECT name, digest, "grant", created_ns, expires_ns, revoked_ns, old_digest, old_until_ns
FROM "keys" WHERE ?1 IS NULL OR name = ?1 ORDER BY name
"""
_VERSION, _PEPPER = "keys_version", "key_secret"

_Read = TypeVar("_Read")


class SqliteKeys:
    """A `KeyStore` in the file of the ledger, which must be there before anything is read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._reader: sqlite3.Connection | None = None

    def version(self) -> bytes:
        """Return what changes whenever a key is made, revoked or rotated."""
        return self._reading(lambda reader: _fact(reader, _VERSION))

    def read(self) -> Keys:
        """Return all keys there are, by name, of one moment."""
        return self._reading(_read_keys)

    def create(self, name: str, grant: Grant, *, now_ns: int, expires_ns: int | None) -> str:
        """Make a key and return its secret."""
        check_name(name)
        secret = new_secret()
        with self._writing() as writer:
            if (known := _found(writer, name)) is not None:
                raise RequestError(
                    f'key "{name}": there is one of this name{_state(known)}; a name is given once,'
                    " so that nobody inherits another's answers and budgets; choose another"
                )
            made = digest(secret, _pepper(writer))
            kept = msgspec.json.encode(grant, order="sorted").decode()
            writer.execute(
                'INSERT INTO "keys" (name, digest, "grant", created_ns, expires_ns)'
                " VALUES (?, ?, ?, ?, ?)",
                (name, made, kept, now_ns, expires_ns),
            )
        return secret

    def rotate(self, name: str, *, now_ns: int, old_until_ns: int | None) -> str:
        """Give a key another secret and return that."""
        secret = new_secret()
        with self._writing() as writer:
            known = _known(writer, name)
            if known.revoked_ns is not None:
                raise RequestError(f'key "{name}": is revoked for ever; create one of another name')
            if known.expires_ns is not None and known.expires_ns <= now_ns:
                raise RequestError(f'key "{name}": has expired; create one of another name')
            writer.execute(
                'UPDATE "keys" SET digest = ?, old_digest = ?, old_until_ns = ? WHERE name = ?',
                (
                    digest(secret, _pepper(writer)),
                    known.digest if old_until_ns is not None else None,
                    old_until_ns,
                    name,
                ),
            )
        return secret

    def revoke(self, name: str, *, now_ns: int) -> Key:
        """End a key for ever and return it."""
        with self._writing() as writer:
            writer.execute(
                'UPDATE "keys" SET revoked_ns = ?, old_digest = NULL, old_until_ns = NULL'
                " WHERE name = ? AND revoked_ns IS NULL",
                (now_ns, name),
            )
            return _known(writer, name)

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _reading(self, read: Callable[[sqlite3.Connection], _Read]) -> _Read:
        """Read by a connection that is kept; after a fault the next read opens another."""
        try:
            if self._reader is None:
                self._reader = open_for_reading(self._path, busy_s=_READ_BUSY_S)
            return read(self._reader)
        except (sqlite3.Error, TypeError, ValueError, OSError) as error:
            with suppress(sqlite3.Error):
                self.close()
            raise _unavailable(self._path, "read", error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the file's write lock; commit at the end, with another version of the keys."""
        try:
            with (
                closing(open_for_writing(self._path, busy_s=_WRITE_BUSY_S)) as writer,
                transaction(writer),
            ):
                yield writer
                writer.execute(
                    "INSERT INTO facts (name, value) VALUES (?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    (_VERSION, random_bytes()),
                )
        except sqlite3.Error as error:
            raise _unavailable(self._path, "written", error) from error


def _read_keys(reader: sqlite3.Connection) -> Keys:
    """Return what there is. Raises ValueError where keys are left without what they are read by."""
    reader.execute("BEGIN")
    try:
        version, pepper = _fact(reader, _VERSION), _fact(reader, _PEPPER)
        rows = reader.execute(_KEYS, (None,)).fetchall()
    finally:
        reader.execute("ROLLBACK")
    if rows and not (version and pepper):
        raise ValueError("the secret that keys are kept under is gone")
    return Keys(version=version, pepper=SecretBytes(pepper), keys=tuple(_key(row) for row in rows))


def _fact(connection: sqlite3.Connection, name: str) -> bytes:
    row = connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
    return bytes(row[0]) if row else b""


def _pepper(writer: sqlite3.Connection) -> bytes:
    """Return the secret that this file's keys are kept under; the first key makes it."""
    writer.execute(
        "INSERT OR IGNORE INTO facts (name, value) SELECT ?, ?"
        ' WHERE NOT EXISTS (SELECT 1 FROM "keys")',
        (_PEPPER, random_bytes()),
    )
    found = _fact(writer, _PEPPER)
    if not found:
        raise AuthUnavailable("keys: the secret that they are kept under is gone; restore a backup")
    return found


def _known(connection: sqlite3.Connection, name: str) -> Key:
    """Return the key of a name. Raises RequestError where there is none."""
    found = _found(connection, name)
    if found is None:
        raise RequestError(f"key {name[:80]!r}: there is none; see `pointsman keys list`")
    return found


def _found(connection: sqlite3.Connection, name: str) -> Key | None:
    row = connection.execute(_KEYS, (name,)).fetchone()
    return _key(row) if row else None


def _key(row: tuple[Any, ...]) -> Key:
    """Return the key of a row. Raises ValueError or TypeError for one that is none."""
    name, made, grant, created_ns, expires_ns, revoked_ns, old, old_until_ns = row
    return msgspec.convert(
        {
            "name": name,
            "digest": made,
            "grant": _grant(grant),
            "created_ns": created_ns,
            "expires_ns": expires_ns,
            "revoked_ns": revoked_ns,
            "old_digest": old,
            "old_until_ns": old_until_ns,
        },
        Key,
        builtin_types=(bytes,),
    )


def _grant(kept: object) -> Grant | None:
    """Return a grant as it was kept, None where it is damaged or a newer pointsman's.

    Never less than what stands there: a bound that is not understood would be no bound.
    """
    try:
        return msgspec.json.decode(str(kept), type=Grant)
    except (msgspec.DecodeError, UnicodeError):
        return None


def _state(key: Key) -> str:
    return ", revoked" if key.revoked_ns is not None else ""


def _unavailable(path: str, verb: str, error: Exception) -> GatewayError:
    return AuthUnavailable(
        f"keys in {path}: cannot be {verb}: {error}", retry_after_s=_RETRY_AFTER_S
    )
