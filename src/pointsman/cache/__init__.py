"""Caches: keep whole recordings under a key. One file per kind of store.

A third party's store comes by the entry-point group `pointsman.caches`: a factory that takes a
`CacheSettings` and returns a `Cache`; it is chosen by `[cache] store`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import msgspec

from pointsman.cache.memory import MemoryCache
from pointsman.cache.shared import SharedMemoryCache
from pointsman.cache.sqlite import SqliteCache
from pointsman.core.errors import ConfigError
from pointsman.extensions import entry_points

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


_GROUP = "pointsman.caches"
_MB = 1024 * 1024


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The exact cache. `path` "" keeps it in memory alone; a file keeps it across restarts.

    `ttl_s` > 0: how long an answer may be served. `memory_mb` > 0: the bound of what is in memory;
    `disk_mb` > 0: of what is in the file. `entry_mb` > 0: a larger answer is not kept.
    `normalised`: other wordings of the last user turn find an answer too, where they differ in what
    never changes one. `canonical_keys` and `canonical_models` name the clients' keys, and the names
    that they ask for, which have one too where it surely asks the same; "*" is all. `also_keep`
    names answers that are otherwise not kept, see `keeping.ALSO`.
    `store` names the kind of store; "" is `sqlite` where there is a path, else `memory`.
    """

    exact: bool = True
    normalised: bool = True
    canonical_keys: tuple[str, ...] = ()
    canonical_models: tuple[str, ...] = ()
    ttl_s: int = 86_400
    memory_mb: int = 256
    path: str = ""
    disk_mb: int = 1_024
    entry_mb: int = 8
    also_keep: tuple[str, ...] = ()
    store: str = ""


class Cache(Protocol):
    """A store of bytes under 32-byte keys. `now_s` is the wall clock, Unix seconds.

    Neither method ever raises for a fault of the store: a broken entry is a miss, a failed put is
    forgotten (and logged once).
    """

    def get(self, key: bytes, *, now_s: float) -> bytes | None:
        """Return the value kept under `key`, None when there is none that is still fresh."""

    def put(self, key: bytes, value: bytes, *, now_s: float) -> None:
        """Keep `value` for the store's time to live; may make room by dropping others."""

    def close(self) -> None:
        """Write what is pending and let go of files."""


@runtime_checkable
class Filed(Protocol):
    """A store that keeps a file, and writes it later than it takes something."""

    def is_filed(self, key: bytes, value: bytes) -> bool:
        """Wait until what was put has been written; return whether the file has it so."""


CacheFactory: TypeAlias = Callable[[CacheSettings], Cache]


def share_memory(settings: CacheSettings) -> SharedMemoryCache | None:
    """Return memory for `build_cache` in several workers, made before they are forked.

    None where the settings ask for none.
    """
    if not settings.exact or (settings.store and settings.store not in STORES):
        return None
    return SharedMemoryCache(
        settings.memory_mb * _MB, settings.ttl_s, entry_bytes_max=settings.entry_mb * _MB
    )


def build_cache(settings: CacheSettings, memory: SharedMemoryCache | None = None) -> Cache | None:
    """Return the store that the settings ask for, None when `exact` is false.

    `memory`: that of all workers, in place of memory of its own; a package's store has no use for
    it. Raises ConfigError for a setting out of range, an unknown store or one that cannot start.
    """
    for name in ("ttl_s", "memory_mb", "disk_mb", "entry_mb"):
        value = getattr(settings, name)
        if value < 1:
            raise ConfigError(f"[cache] {name} is {value}; set it to 1 or more")
    if not settings.exact:
        return None
    store = settings.store or ("sqlite" if settings.path else "memory")
    factory = STORES.get(store)
    return factory(settings, memory) if factory else _build_installed(store, settings)


def store_names() -> tuple[str, ...]:
    """Return the names that `[cache] store` may have: ours, then those of installed packages."""
    installed = entry_points(group=_GROUP).names - STORES.keys()
    return (*STORES, *sorted(installed))


def _build_memory(settings: CacheSettings, memory: SharedMemoryCache | None) -> Cache:
    if settings.path:
        raise ConfigError(
            f'[cache] store "memory" keeps no file, but path is {settings.path!r}; remove one'
        )
    return memory or _memory(settings)


def _build_sqlite(settings: CacheSettings, memory: SharedMemoryCache | None) -> Cache:
    if not settings.path:
        raise ConfigError('[cache] store "sqlite" needs a file; set path')
    return SqliteCache(
        Path(settings.path),
        memory=memory or _memory(settings),
        disk_bytes_max=settings.disk_mb * _MB,
        ttl_s=settings.ttl_s,
        entry_bytes_max=settings.entry_mb * _MB,
    )


def _memory(settings: CacheSettings) -> MemoryCache:
    return MemoryCache(
        settings.memory_mb * _MB, settings.ttl_s, entry_bytes_max=settings.entry_mb * _MB
    )


def _build_installed(store: str, settings: CacheSettings) -> Cache:
    found = tuple(entry_points(group=_GROUP, name=store))
    if not found:
        raise ConfigError(
            f"[cache] store {store!r} is not known; installed are {', '.join(store_names())}:"
            " choose one, or install the package that brings it"
        )
    try:
        factory: CacheFactory = found[0].load()
        return factory(settings)
    except ConfigError:
        raise
    except Exception as error:  # a package of others may fail in any way
        raise ConfigError(
            f"[cache] store {store!r} of {_package(found[0])} does not start ({error!r});"
            " mend or remove that package, or choose another store"
        ) from error


def _package(entry_point: "EntryPoint") -> str:
    return entry_point.dist.name if entry_point.dist else entry_point.value


STORES: Mapping[str, Callable[[CacheSettings, SharedMemoryCache | None], Cache]] = {
    "memory": _build_memory,
    "sqlite": _build_sqlite,
}
