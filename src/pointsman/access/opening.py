"""Opening: the store of virtual keys that goes with a ledger."""

from contextlib import closing
from pathlib import Path

from pointsman.access import KeyStore
from pointsman.access.sqlite_keys import SqliteKeys
from pointsman.core.errors import AuthUnavailable, ConfigError
from pointsman.ledger.opening import sqlite_file


def open_keys(url: str) -> KeyStore | None:
    """Return the store of the ledger at `url`, None for one that keeps no keys.

    That is one in memory, which no command reaches, and one that a third party's package brings.
    Raises ConfigError for a URL that cannot be one.
    """
    path = sqlite_file(url)
    return None if path is None else SqliteKeys(path)


def has_keys(url: str) -> bool:
    """Return whether keys are known to be kept there, so that strangers are kept out.

    False where nobody can tell.
    """
    try:
        path = sqlite_file(url)
        if path is None or not Path(path).is_file():
            return False
        with closing(SqliteKeys(path)) as store:
            return bool(store.read().keys)
    except (AuthUnavailable, ConfigError):
        return False
