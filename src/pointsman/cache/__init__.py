"""Caches: keep whole recordings under a key. One file per kind of store.

A third party's store comes by the entry-point group `pointsman.caches`: a factory that takes a
`CacheSettings` and returns a `Cache`; it is chosen by `[cache] store`.
"""

from typing import Protocol

import msgspec


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The exact cache. `path` "" keeps it in memory alone; a file keeps it across restarts.

    `ttl_s` > 0: how long an answer may be served. `memory_mb` > 0: the bound of what is in memory;
    `disk_mb` > 0: of what is in the file. `entry_mb` > 0: a larger answer is not kept.
    """

    exact: bool = True
    ttl_s: int = 86_400
    memory_mb: int = 256
    path: str = ""
    disk_mb: int = 1_024
    entry_mb: int = 8


class Cache(Protocol):
    """A store of bytes under 32-byte keys. `now_s` is the wall clock, Unix seconds.

    Neither method ever raises for a fault of the store: a broken entry is a miss, a failed put is
    forgotten (and logged once).
    """

    def get(self, key: bytes, *, now_s: float) -> bytes | None:
        """Return the value kept under `key`, None when there is none that is still fresh."""

    def put(self, key: bytes, value: bytes, *, now_s: float) -> None:
        """Keep `value` under `key` for the store's time to live; may make room by dropping others."""

    def close(self) -> None:
        """Write what is pending and let go of files."""
