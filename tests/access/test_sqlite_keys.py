"""Virtual keys at rest: what is in the file, who has a name, and what a fault of it means."""

import itertools
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.access import Key, check_name
from pointsman.access.secret import digest
from pointsman.access.sqlite_keys import SqliteKeys
from pointsman.core.errors import AuthUnavailable, ConfigError, GatewayError, RequestError
from pointsman.core.grants import EVERYTHING, Grant, Scope

BOUND = Grant(
    scopes=frozenset({Scope.CALL}),
    tiers=("fast",),
    models=("openai/gpt-4o-mini",),
    tags={"team": "wéb"},
    requests_per_minute=60,
    tokens_per_minute=1_000,
    concurrency=2,
    day_nanousd=1_500_000_000,
    month_nanousd=0,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteKeys]:
    made = SqliteKeys(str(tmp_path / "ledger.db"))
    yield made
    made.close()


def only(store: SqliteKeys) -> Key:
    (key,) = store.read().keys
    return key


def alter(store: SqliteKeys, sql: str, *values: object) -> None:
    """Change the file behind the store's back."""
    connection = sqlite3.connect(store._path)
    with connection:
        connection.execute(sql, values)
    connection.close()


def test_a_key_is_kept_whole_but_for_its_secret(store: SqliteKeys):
    secret = store.create("web", BOUND, now_ns=5, expires_ns=99)
    kept = store.read()
    assert kept.keys == (
        Key(
            name="web",
            digest=digest(secret, kept.pepper),
            grant=BOUND,
            created_ns=5,
            expires_ns=99,
        ),
    )


def test_a_secret_has_256_bits_and_none_comes_twice(store: SqliteKeys):
    secrets = {store.create(f"k{n}", EVERYTHING, now_ns=1, expires_ns=None) for n in range(20)}
    assert len(secrets) == 20
    for secret in secrets:
        assert secret.startswith("pm-")
        assert len(secret) == 3 + 43
        assert set(secret[3:]) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        )


def test_no_file_holds_a_secret_or_anything_that_can_be_made_into_one(
    store: SqliteKeys, tmp_path: Path
):
    secrets = [store.create("web", EVERYTHING, now_ns=1, expires_ns=None)]
    secrets.append(store.rotate("web", now_ns=2, old_until_ns=9))
    secrets.append(store.create("old", EVERYTHING, now_ns=3, expires_ns=None))
    store.read()
    store.revoke("old", now_ns=4)
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert "ledger.db" in files
    assert any(b"web" in content for content in files.values()), "the right files are looked at"
    for secret, (name, content) in itertools.product(secrets, files.items()):
        for size in (8, 16, 43):
            assert secret[3:][:size].encode() not in content, name


def test_a_new_file_is_for_its_owner_alone(store: SqliteKeys, tmp_path: Path):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    if os.name == "posix":
        assert (tmp_path / "ledger.db").stat().st_mode & 0o077 == 0


def test_two_files_keep_the_same_secret_under_other_digests(tmp_path: Path):
    peppers = set()
    for name in ("a.db", "b.db"):
        store = SqliteKeys(str(tmp_path / name))
        store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
        peppers.add(store.read().pepper)
        store.close()
    assert len(peppers) == 2
    assert len({digest("pm-x", pepper) for pepper in peppers}) == 2


@pytest.mark.parametrize("is_revoked", [False, True])
def test_a_name_is_given_once(store: SqliteKeys, is_revoked: bool):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    if is_revoked:
        store.revoke("web", now_ns=2)
    before = store.read()
    told = "name, revoked; a name" if is_revoked else "name; a name"
    with pytest.raises(RequestError, match=f'"web": there is one of this {told}'):
        store.create("web", EVERYTHING, now_ns=3, expires_ns=None)
    assert store.read() == before


def test_of_many_who_want_a_name_at_once_one_gets_it(tmp_path: Path):
    made: list[str] = []
    refused: list[GatewayError] = []

    def want() -> None:
        try:
            made.append(
                SqliteKeys(str(tmp_path / "l.db")).create(
                    "web", EVERYTHING, now_ns=1, expires_ns=None
                )
            )
        except RequestError as error:
            refused.append(error)

    threads = [threading.Thread(target=want) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 5)


def test_a_rotation_leaves_the_old_secret_its_grace_and_everything_else(store: SqliteKeys):
    first = store.create("web", BOUND, now_ns=1, expires_ns=99)
    before = only(store)
    second = store.rotate("web", now_ns=2, old_until_ns=50)
    pepper, after = store.read().pepper, only(store)
    assert (after.digest, after.old_digest) == (digest(second, pepper), digest(first, pepper))
    assert (after.grant, after.created_ns, after.expires_ns) == (
        before.grant,
        before.created_ns,
        before.expires_ns,
    )
    third = store.rotate("web", now_ns=3, old_until_ns=None)
    latest = only(store)
    assert latest.digest == digest(third, pepper)
    assert (latest.old_digest, latest.old_until_ns) == (None, None)


def test_a_revocation_is_for_ever_and_ends_the_old_secret_too(store: SqliteKeys):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    store.rotate("web", now_ns=2, old_until_ns=10**19 // 2)
    revoked = store.revoke("web", now_ns=3)
    assert (revoked.revoked_ns, revoked.old_digest) == (3, None)
    assert store.revoke("web", now_ns=4).revoked_ns == 3
    with pytest.raises(RequestError, match="revoked for ever"):
        store.rotate("web", now_ns=5, old_until_ns=None)


def test_what_is_not_there_or_has_expired_cannot_be_changed(store: SqliteKeys):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=10)
    with pytest.raises(RequestError, match="has expired"):
        store.rotate("web", now_ns=10, old_until_ns=None)
    with pytest.raises(RequestError, match="'nix': there is none"):
        store.rotate("nix", now_ns=2, old_until_ns=None)
    with pytest.raises(RequestError, match="'nix': there is none"):
        store.revoke("nix", now_ns=2)


def test_every_change_is_another_version_and_reading_is_none(store: SqliteKeys):
    seen = []
    for change in (
        lambda: store.create("web", EVERYTHING, now_ns=1, expires_ns=None),
        lambda: store.create("app", EVERYTHING, now_ns=1, expires_ns=None),
        lambda: store.rotate("web", now_ns=2, old_until_ns=None),
        lambda: store.revoke("web", now_ns=3),
    ):
        change()
        seen.append(store.version())
        assert store.read().version == store.version() == seen[-1]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "admin",
        "Web",
        "a b",
        "a,b",
        "a:b",
        "a\n",
        "\na",
        "a\r\nx-evil: 1",
        "a\x00",
        "-a",
        ".a",
        "a" * 64,
        "wéb",
        "\uff41",
        'a"; DROP TABLE keys; --',
        "../a",
        "a=b",
        "<b>",
    ],
)
def test_a_name_that_could_mean_something_elsewhere_is_refused(store: SqliteKeys, name: str):
    with pytest.raises(RequestError) as refusal:
        store.create(name, EVERYTHING, now_ns=1, expires_ns=None)
    assert "\n" not in refusal.value.message
    assert not Path(store._path).exists(), "nothing was touched"


@given(name=st.text(max_size=70))
def test_a_name_that_is_taken_is_plain(name: str):
    try:
        check_name(name)
    except RequestError as error:
        refusal = error.message
    else:
        refusal = ""
    assert refusal.isprintable()
    if not refusal:
        assert name.isascii()
        assert name == name.lower().strip()
        assert not set(name) & set(" ,:;=\"'\\/<>\r\n\t\0")


def test_a_grant_that_a_newer_pointsman_made_is_not_read_as_less(store: SqliteKeys):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    for damaged in ('{"regions": ["eu"]}', "{", "", "null", '{"requests_per_minute": 0}'):
        alter(store, 'UPDATE "keys" SET "grant" = ?', damaged)
        assert only(store).grant is None
    alter(store, 'UPDATE "keys" SET "grant" = ?', "{}")
    assert only(store).grant == EVERYTHING


@pytest.mark.parametrize(
    "sql",
    [
        'DROP TABLE "keys"',
        "DROP TABLE facts",
        "DELETE FROM facts WHERE name = 'key_secret'",
        "DELETE FROM facts WHERE name = 'keys_version'",
        "UPDATE \"keys\" SET digest = 'text'",
        "UPDATE \"keys\" SET created_ns = 'x'",
    ],
)
def test_a_damaged_table_is_said_to_be_unavailable(store: SqliteKeys, sql: str):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    alter(store, sql)
    with pytest.raises(AuthUnavailable, match="cannot be read"):
        store.read()


def test_a_lost_secret_is_not_made_anew_for_keys_that_it_does_not_fit(store: SqliteKeys):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    alter(store, "DELETE FROM facts WHERE name = 'key_secret'")
    with pytest.raises(AuthUnavailable, match="restore a backup"):
        store.create("app", EVERYTHING, now_ns=2, expires_ns=None)
    alter(store, "DELETE FROM \"keys\" WHERE name != 'web'")
    with pytest.raises(AuthUnavailable):
        store.rotate("web", now_ns=2, old_until_ns=None)


def test_a_file_of_noise_is_said_to_be_unavailable_and_can_be_read_once_it_is_mended(
    tmp_path: Path,
):
    file = tmp_path / "l.db"
    file.write_bytes(os.urandom(8192))
    store = SqliteKeys(str(file))
    with pytest.raises(AuthUnavailable):
        store.version()
    with pytest.raises(ConfigError):
        store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    file.unlink()
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    assert only(store).name == "web"
    store.close()


def test_after_a_fault_the_file_that_is_put_back_is_read(store: SqliteKeys, tmp_path: Path):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    kept = store.read()
    with sqlite3.connect(store._path) as file, sqlite3.connect(tmp_path / "backup") as backup:
        file.backup(backup)
    file.close()
    backup.close()
    alter(store, "DELETE FROM facts")
    with pytest.raises(AuthUnavailable):
        store.read()
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "backup").replace(store._path)
    assert store.read() == kept


def test_closing_closes_the_connection_and_not_the_store(store: SqliteKeys):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    kept, reader = store.read(), store._reader
    assert reader is not None
    store.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        reader.execute("SELECT 1")
    assert store.read() == kept


def test_a_key_that_is_read_cannot_be_changed_and_is_filled_by_name(store: SqliteKeys):
    store.create("web", BOUND, now_ns=1, expires_ns=None)
    kept = store.read()
    with pytest.raises(AttributeError):
        kept.keys = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        only(store).grant = EVERYTHING  # type: ignore[misc]
    with pytest.raises(TypeError):
        Key("web", b"", EVERYTHING, 1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        type(kept)(b"", b"", ())  # type: ignore[call-arg]


def test_a_file_that_stays_locked_is_said_to_be_unavailable_and_nothing_is_changed(
    store: SqliteKeys, monkeypatch: pytest.MonkeyPatch
):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    before = store.read()
    monkeypatch.setattr("pointsman.access.sqlite_keys._WRITE_BUSY_S", 0.01)
    writer = sqlite3.connect(store._path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    for change in (
        lambda: store.create("app", EVERYTHING, now_ns=2, expires_ns=None),
        lambda: store.rotate("web", now_ns=2, old_until_ns=None),
        lambda: store.revoke("web", now_ns=2),
    ):
        with pytest.raises(AuthUnavailable, match="cannot be written"):
            change()
    writer.execute("ROLLBACK")
    writer.close()
    assert store.read() == before


def test_a_reader_does_not_wait_for_who_writes(store: SqliteKeys):
    store.create("web", EVERYTHING, now_ns=1, expires_ns=None)
    writer = sqlite3.connect(store._path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute('UPDATE "keys" SET revoked_ns = 1')
    assert only(store).revoked_ns is None
    writer.execute("COMMIT")
    assert only(store).revoked_ns == 1
    writer.close()
