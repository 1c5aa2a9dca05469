"""The file store survives restarts, kills, flipped bits and files of others: as misses at worst."""

import hashlib
import logging
import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.cache import sqlite_file
from pointsman.cache.memory import MemoryCache
from pointsman.cache.sqlite import QUEUE_BYTES_MAX, SqliteCache
from pointsman.core.errors import ConfigError

MB = 1024 * 1024
NOW_S = 1_800_000_000.0


def key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def value(number: int, size: int = 2_000) -> bytes:
    return (key(number) * (size // 32 + 1))[:size]


def opened(path: Path, *, disk_bytes_max: int = 4 * MB, memory_bytes: int = 0) -> SqliteCache:
    """Return a cache that keeps nothing in memory, so that each read asks the file."""
    memory = MemoryCache(memory_bytes, 60)
    return SqliteCache(path, memory=memory, disk_bytes_max=disk_bytes_max, ttl_s=60)


def filled(path: Path, count: int, **bounds: int) -> None:
    cache = opened(path, **bounds)
    for number in range(count):
        cache.put(key(number), value(number), now_s=NOW_S)
    cache.close()


def found(cache: SqliteCache, numbers: range, *, now_s: float = NOW_S) -> set[int]:
    """Return which are there, having checked that each is what was put."""
    hits = {number: cache.get(key(number), now_s=now_s) for number in numbers}
    kept = {number for number, hit in hits.items() if hit is not None}
    assert all(hits[number] == value(number) for number in kept)
    return kept


def disk_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.iterdir())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def cache(path: Path) -> Iterator[SqliteCache]:
    cache = opened(path)
    yield cache
    cache.close()


def test_only_its_owner_may_read_the_file(path: Path):
    path.touch(mode=0o644)
    cache = opened(path)
    cache.put(key(1), b"one", now_s=NOW_S)
    assert cache.flush()
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    cache.close()


def test_a_clean_close_leaves_one_file_with_everything_in_it(path: Path):
    filled(path, 100)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    cache = opened(path)
    assert found(cache, range(100)) == set(range(100))
    cache.close()


def test_the_memory_in_front_answers_before_the_file_is_written(path: Path):
    cache = opened(path, memory_bytes=MB)
    cache.put(key(1), value(1), now_s=NOW_S)
    assert found(cache, range(1, 2)) == {1}
    cache.close()


def test_an_entry_read_from_the_file_keeps_its_age_in_memory(path: Path):
    filled(path, 1)
    cache = opened(path, memory_bytes=MB)
    assert found(cache, range(1), now_s=NOW_S + 59) == {0}
    assert found(cache, range(1), now_s=NOW_S + 60) == set()
    cache.close()


@settings(max_examples=20)
@given(sizes=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40_000)), max_size=120))
def test_the_files_never_take_more_than_their_bound(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]]
):
    path = tmp_path_factory.mktemp("bound") / "cache.db"
    cache = opened(path, disk_bytes_max=MB)
    for name, size in sizes:
        cache.put(key(name), value(name, size), now_s=NOW_S)
        assert cache.flush()
        assert disk_bytes(path) <= MB
    cache.close()
    assert disk_bytes(path) <= MB


def test_the_oldest_make_room_but_those_still_read_stay(path: Path):
    cache = opened(path, disk_bytes_max=MB)
    for number in range(800):
        cache.put(key(number), value(number), now_s=NOW_S)
        assert cache.flush()
        assert cache.get(key(0), now_s=NOW_S) == value(0)
    kept = found(cache, range(800))
    assert max(kept) == 799 and 1 not in kept
    assert 150 < len(kept) < 400
    assert disk_bytes(path) <= MB
    cache.close()


def test_expired_entries_leave_the_file_as_others_come(cache: SqliteCache, path: Path):
    for number in range(50):
        cache.put(key(number), value(number), now_s=NOW_S)
    assert cache.flush()
    for number in range(50, 80):
        cache.put(key(number), value(number), now_s=NOW_S + 60)
    assert cache.flush()
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*) from entries").fetchone() == (30,)
    connection.close()


def test_a_full_queue_drops_what_is_put(cache: SqliteCache, path: Path):
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("begin immediate")
    size = 100_000
    for number in range(2 * QUEUE_BYTES_MAX // size):
        cache.put(key(number), value(number, size), now_s=NOW_S)
    assert cache._queue_bytes <= QUEUE_BYTES_MAX
    lock.execute("rollback")
    lock.close()
    assert cache.flush()


def test_a_fault_of_the_store_is_a_miss_and_is_logged_once(
    cache: SqliteCache, path: Path, caplog: pytest.LogCaptureFixture
):
    with sqlite3.connect(path) as connection:
        connection.execute("drop table entries")
    connection.close()
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            cache.put(key(number), value(number), now_s=NOW_S)
            assert cache.flush()
            assert cache.get(key(number), now_s=NOW_S) is None
    assert len(caplog.records) == 2  # one for reading, one for writing
    assert str(path) in caplog.text


def test_a_damaged_entry_is_a_miss_and_is_dropped(path: Path):
    filled(path, 3)
    with sqlite3.connect(path) as connection:
        connection.execute("update entries set checksum = checksum + 1 where key = ?", (key(1),))
    connection.close()
    cache = opened(path)
    assert found(cache, range(3)) == {0, 2}
    assert cache.flush()
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*) from entries").fetchone() == (2,)
    connection.close()
    cache.close()


def test_an_entry_of_another_format_is_a_miss(path: Path, monkeypatch: pytest.MonkeyPatch):
    filled(path, 3)
    cache = opened(path)
    monkeypatch.setattr(sqlite_file, "FORMAT", 2)
    assert found(cache, range(3)) == set()
    cache.close()


def test_a_file_of_another_format_or_over_its_bound_is_begun_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    filled(path, 1_000)
    cache = opened(path, disk_bytes_max=MB)
    assert found(cache, range(1_000)) == set()
    assert disk_bytes(path) <= MB
    cache.close()
    filled(path, 10)
    monkeypatch.setattr(sqlite_file, "FORMAT", 2)
    filled(path, 10)
    monkeypatch.undo()
    cache = opened(path)
    assert found(cache, range(10)) == set()
    cache.close()


WRITER = """
import hashlib, sys
from pathlib import Path
from pointsman.cache.memory import MemoryCache
from pointsman.cache.sqlite import SqliteCache

cache = SqliteCache(
    Path(sys.argv[1]), memory=MemoryCache(0, 60), disk_bytes_max=4 * 2**20, ttl_s=60
)
for number in range(10**9):
    key = hashlib.sha256(str(number).encode()).digest()
    cache.put(key, (key * 63)[:2_000], now_s=1_800_000_000.0)
    if number % 500 == 499:
        cache.flush()
        print(number, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 3, 8])
def test_a_process_killed_while_writing_leaves_a_sound_file(path: Path, lines: int):
    child = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE)
    assert child.stdout is not None
    written = [int(child.stdout.readline()) for _ in range(lines)][-1]
    child.kill()
    child.communicate()
    cache = opened(path)
    kept = found(cache, range(written + 1))
    assert len(kept) > 400 and (lines > 1 or kept == set(range(500)))
    cache.put(key(-1), value(-1), now_s=NOW_S)
    assert cache.flush()
    assert found(cache, range(-1, 0)) == {-1}
    cache.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "cache.db"
    filled(path, 120)
    return path.read_bytes()


FLIPS = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30)


def flipped(whole: bytes, places: list[float], *, first: int = 100) -> bytes:
    """Return the file with one bit flipped at each place; `first` leaves its header alone."""
    damaged = bytearray(whole)
    for place in places:
        bit = int(8 * first + place * 8 * (len(whole) - first))
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


@settings(max_examples=60)
@given(places=FLIPS, near=st.sampled_from([1.0, 0.05, 0.002]))
def test_flipped_bits_are_misses_at_worst(
    sound: bytes, tmp_path_factory: pytest.TempPathFactory, places: list[float], near: float
):
    path = tmp_path_factory.mktemp("flips") / "cache.db"
    path.write_bytes(flipped(sound, [place * near for place in places]))
    cache = opened(path)
    found(cache, range(120))
    for number in range(120, 140):
        cache.put(key(number), value(number), now_s=NOW_S)
    assert cache.flush()
    found(cache, range(140))
    cache.close()
    cache = opened(path)
    found(cache, range(140))
    cache.close()


@pytest.mark.parametrize("first", [0, 100], ids=["whole-file", "all-but-its-header"])
def test_bits_flipped_under_an_open_cache_are_misses_at_worst(path: Path, sound: bytes, first: int):
    path.write_bytes(sound)
    cache = opened(path)
    rng = random.Random(first)
    path.write_bytes(flipped(sound, [rng.random() for _ in range(2_000)], first=first))
    found(cache, range(120))
    for number in range(120, 140):
        cache.put(key(number), value(number), now_s=NOW_S)
    assert cache.flush()
    found(cache, range(140))
    cache.close()


def test_a_file_cut_short_under_an_open_cache_is_misses_at_worst(path: Path, sound: bytes):
    path.write_bytes(sound)
    cache = opened(path)
    os.truncate(path, 40_000)
    found(cache, range(120))
    cache.put(key(200), value(200), now_s=NOW_S)
    assert cache.flush()
    found(cache, range(201))
    cache.close()


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"written_s real", b"writ\xe5n_s real"), (b"written_s real", b"writtEm_s real")],
    ids=["not-utf-8", "another-column"],
)
def test_a_file_whose_schema_is_damaged_is_begun_anew(
    path: Path, sound: bytes, old: bytes, new: bytes
):
    assert old in sound
    path.write_bytes(sound.replace(old, new))
    cache = opened(path)
    assert found(cache, range(120)) == set()
    cache.put(key(1), value(1), now_s=NOW_S)
    assert cache.flush()
    assert found(cache, range(120)) == {1}
    cache.close()


def test_a_file_found_damaged_is_replaced_and_used_again(path: Path, sound: bytes):
    path.write_bytes(sound[:16_384] + bytes(len(sound) - 16_384))
    cache = opened(path)
    assert found(cache, range(120)) == set()
    cache.put(key(1), value(1), now_s=NOW_S)
    assert cache.flush()
    cache.put(key(2), value(2), now_s=NOW_S)
    assert cache.flush()
    assert 2 in found(cache, range(120))
    cache.close()


def foreign_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("create table entries (precious text)")
    connection.close()


@pytest.mark.parametrize(
    "make",
    [
        foreign_database,
        lambda path: path.write_bytes(b"a diary\n" * 100),
        lambda path: path.write_bytes(b"x"),
        lambda path: path.mkdir(),
        os.mkfifo,
    ],
    ids=["sqlite-of-others", "text", "one-byte", "directory", "pipe"],
)
def test_a_path_that_is_not_ours_is_refused_and_left_alone(path: Path, make):
    make(path)
    before = (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
    with pytest.raises(ConfigError, match=rf"\[cache\] path '{path}' .*remove path"):
        opened(path)
    assert (path.stat().st_mode, path.read_bytes() if path.is_file() else b"") == before
    assert list(path.parent.iterdir()) == [path]


def test_a_path_in_no_directory_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"cannot be opened.*name a file in a directory"):
        opened(tmp_path / "missing" / "cache.db")


def test_a_bound_too_small_for_a_file_is_refused(path: Path):
    with pytest.raises(ConfigError, match="1000 bytes are too few"):
        opened(path, disk_bytes_max=1_000)


def test_what_waited_to_be_written_does_not_replace_what_is_newer(cache: SqliteCache, path: Path):
    # Another worker's write of an entry that has been purged, or answered anew, meanwhile.
    cache.put(key(1), b"new", now_s=NOW_S + 1)
    assert cache.is_filed(key(1), b"new")
    other = opened(path)
    other.put(key(1), b"old", now_s=NOW_S)
    assert not other.is_filed(key(1), b"old")
    other.put(key(1), b"newest", now_s=NOW_S + 2)
    assert other.is_filed(key(1), b"newest")
    other.close()
    assert cache.get(key(1), now_s=NOW_S + 2) == b"newest"


def test_an_entry_from_the_future_does_not_stay_for_ever(cache: SqliteCache):
    cache.put(key(1), b"future", now_s=NOW_S + 86_400)  # and then the clock was set back
    cache.put(key(1), b"new", now_s=NOW_S)
    assert cache.is_filed(key(1), b"new")


def test_what_the_file_does_not_take_is_not_filed(cache: SqliteCache, path: Path):
    cache.put(key(1), value(1), now_s=NOW_S)
    assert cache.is_filed(key(1), value(1))
    assert not cache.is_filed(key(1), value(2))
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("begin immediate")
    cache.put(key(1), b"", now_s=NOW_S + 1)
    assert not cache.is_filed(key(1), b"")
    lock.close()
