"""Every cache store that can be chosen keeps the promises of `Cache`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.cache import Cache, CacheSettings, build_cache, share_memory, store_names

MB = 1024 * 1024
NOW_S = 1_800_000_000.0
STORES_WITHOUT_FILE = {"memory"}
keeps_files = pytest.mark.parametrize(
    "store", [name for name in store_names() if name not in STORES_WITHOUT_FILE]
)


def key(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def settings_for(store: str, directory: Path) -> CacheSettings:
    path = "" if store in STORES_WITHOUT_FILE else str(directory / "cache.db")
    return CacheSettings(store=store, path=path, ttl_s=60, memory_mb=1, disk_mb=2, entry_mb=1)


def opened(settings: CacheSettings, *, has_workers: bool = False) -> Cache:
    cache = build_cache(settings, share_memory(settings) if has_workers else None)
    assert cache is not None
    return cache


@pytest.fixture(params=store_names())
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["one process", "several"])
def has_workers(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def cache(store: str, has_workers: bool, tmp_path: Path) -> Iterator[Cache]:
    cache = opened(settings_for(store, tmp_path), has_workers=has_workers)
    yield cache
    cache.close()


def test_what_was_put_is_found(cache: Cache):
    cache.put(key(1), b"one", now_s=NOW_S)
    cache.put(key(2), b"", now_s=NOW_S)
    assert cache.get(key(1), now_s=NOW_S) == b"one"
    assert cache.get(key(2), now_s=NOW_S) == b""
    assert cache.get(key(3), now_s=NOW_S) is None


def test_an_entry_is_served_until_its_time_to_live_has_passed(cache: Cache):
    cache.put(key(1), b"one", now_s=NOW_S)
    assert cache.get(key(1), now_s=NOW_S + 59.9) == b"one"
    assert cache.get(key(1), now_s=NOW_S + 60) is None
    assert cache.get(key(1), now_s=NOW_S + 61) is None


def test_an_entry_does_not_live_for_ever_when_the_clock_is_set_back(cache: Cache):
    cache.put(key(1), b"one", now_s=NOW_S)
    assert cache.get(key(1), now_s=NOW_S - 1) == b"one"
    assert cache.get(key(1), now_s=NOW_S - 86_400) is None


def test_a_second_put_replaces_the_first_and_starts_its_time_anew(cache: Cache):
    cache.put(key(1), b"one", now_s=NOW_S)
    cache.put(key(1), b"two", now_s=NOW_S + 30)
    assert cache.get(key(1), now_s=NOW_S + 80) == b"two"


def test_keys_that_share_their_beginning_or_end_do_not_share_entries(cache: Cache):
    cache.put(key(1), b"one", now_s=NOW_S)
    assert cache.get(key(1)[:16] + key(2)[16:], now_s=NOW_S) is None
    assert cache.get(key(2)[:16] + key(1)[16:], now_s=NOW_S) is None


def test_a_value_over_the_limit_is_refused_and_nothing_older_is_served_for_it(cache: Cache):
    cache.put(key(1), b"small", now_s=NOW_S)
    cache.put(key(1), b"x" * (MB + 1), now_s=NOW_S)
    assert cache.get(key(1), now_s=NOW_S) is None


def test_closing_twice_is_allowed_and_a_closed_cache_only_misses(cache: Cache):
    cache.put(key(1), b"one", now_s=NOW_S)
    cache.close()
    cache.close()
    cache.put(key(2), b"two", now_s=NOW_S)
    assert cache.get(key(1), now_s=NOW_S) is None


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 200_000)), max_size=60))
def test_what_can_be_found_never_exceeds_the_bound(
    store: str,
    has_workers: bool,
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[tuple[int, int]],
):
    cache = opened(settings_for(store, tmp_path_factory.mktemp("bound")), has_workers=has_workers)
    latest = {}
    for number, (name, size) in enumerate(sizes):
        latest[name] = bytes([number]) * size
        cache.put(key(name), latest[name], now_s=NOW_S)
    found = {name: cache.get(key(name), now_s=NOW_S) for name in latest}
    cache.close()
    kept = {name: value for name, value in found.items() if value is not None}
    assert kept == {name: latest[name] for name in kept}
    disk_mb = 0 if store in STORES_WITHOUT_FILE else 2
    assert sum(len(value) for value in kept.values()) <= (1 + disk_mb) * MB


@keeps_files
def test_entries_outlive_closing_and_opening_again(store: str, tmp_path: Path):
    chosen = settings_for(store, tmp_path)
    cache = opened(chosen)
    cache.put(key(1), b"one", now_s=NOW_S)
    cache.put(key(2), b"two", now_s=NOW_S + 30)
    cache.close()
    cache = opened(chosen)
    assert cache.get(key(1), now_s=NOW_S + 59) == b"one"
    assert cache.get(key(1), now_s=NOW_S + 60) is None
    assert cache.get(key(2), now_s=NOW_S + 60) == b"two"
    cache.close()
