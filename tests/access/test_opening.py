"""Which ledgers bring keys along."""

from pathlib import Path

import pytest

from pointsman.access.opening import has_keys, open_keys
from pointsman.access.sqlite_keys import SqliteKeys
from pointsman.core.errors import ConfigError
from pointsman.core.grants import Grant


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


def test_the_keys_of_a_file_are_in_it(tmp_path: Path):
    store = open_keys(url(tmp_path))
    assert isinstance(store, SqliteKeys)
    store.create("me", Grant(), now_ns=1, expires_ns=None)
    store.close()
    assert has_keys(url(tmp_path)) is True


def test_memory_keeps_none():
    assert open_keys("sqlite://") is None
    assert has_keys("sqlite://") is False


def test_where_there_is_no_file_there_are_no_keys_and_none_is_made(tmp_path: Path):
    assert has_keys(url(tmp_path)) is False
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_keys_has_none(tmp_path: Path):
    store = open_keys(url(tmp_path))
    assert store is not None
    store.create("me", Grant(), now_ns=1, expires_ns=None)
    store.close()
    other = tmp_path / "other"
    other.mkdir()
    (other / "ledger.db").touch()
    assert has_keys(url(other)) is False


def test_what_is_no_database_counts_as_none(tmp_path: Path):
    (tmp_path / "ledger.db").write_bytes(b"no database, and longer than a header of one" * 99)
    assert has_keys(url(tmp_path)) is False


def test_what_cannot_be_a_url_is_told_to_whoever_opens_it():
    with pytest.raises(ConfigError):
        open_keys("sqlite://no-third-slash")
    assert has_keys("sqlite://no-third-slash") is False
