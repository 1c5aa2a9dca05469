"""The settings choose a store, and say what is wrong with them."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import msgspec
import pytest

import pointsman.cache
from pointsman.cache import CacheSettings, build_cache, store_names
from pointsman.cache.memory import MemoryCache
from pointsman.cache.sqlite import SqliteCache
from pointsman.core.errors import ConfigError


def broken_factory(settings: CacheSettings) -> MemoryCache:
    raise KeyError(settings.store)


def good_factory(settings: CacheSettings) -> MemoryCache:
    return MemoryCache(1_000, settings.ttl_s)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages of others: their entry points, as importlib would find them."""
    points = EntryPoints(
        EntryPoint(name, f"{__name__}:{factory.__name__}", "pointsman.caches")
        for name, factory in (("good", good_factory), ("broken", broken_factory))
    )
    monkeypatch.setattr(pointsman.cache, "entry_points", points.select)
    monkeypatch.setattr(EntryPoint, "load", lambda point: globals()[point.value.partition(":")[2]])


def test_no_cache_is_built_when_it_is_switched_off():
    assert build_cache(CacheSettings(exact=False)) is None


def test_a_path_chooses_the_file_store_and_none_the_memory_store(tmp_path: Path):
    memory = build_cache(CacheSettings())
    file = build_cache(CacheSettings(path=str(tmp_path / "cache.db")))
    assert isinstance(memory, MemoryCache)
    assert isinstance(file, SqliteCache)
    file.close()


@pytest.mark.parametrize("name", ["ttl_s", "memory_mb", "disk_mb", "entry_mb"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_number_below_one_is_refused_by_name(name: str, value: int):
    with pytest.raises(ConfigError, match=rf"\[cache\] {name} is {value}; set it to 1 or more"):
        build_cache(msgspec.structs.replace(CacheSettings(), **{name: value}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (CacheSettings(store="sqlite"), "needs a file; set path"),
        (CacheSettings(store="memory", path="x.db"), "keeps no file, but path is 'x.db'"),
    ],
    ids=["sqlite-without-path", "memory-with-path"],
)
def test_a_store_that_does_not_fit_its_path_is_refused(settings: CacheSettings, message: str):
    with pytest.raises(ConfigError, match=message):
        build_cache(settings)


def test_an_installed_store_is_built_by_its_name(installed: None):
    assert isinstance(build_cache(CacheSettings(store="good")), MemoryCache)
    assert store_names() == ("memory", "sqlite", "broken", "good")


def test_an_unknown_store_is_refused_with_those_that_are_installed(installed: None):
    with pytest.raises(ConfigError, match=r"'redis' is not known.*memory, sqlite, broken, good"):
        build_cache(CacheSettings(store="redis"))


def test_an_installed_store_that_fails_is_named(installed: None):
    with pytest.raises(ConfigError, match=r"store 'broken' .* does not start \(KeyError"):
        build_cache(CacheSettings(store="broken"))
