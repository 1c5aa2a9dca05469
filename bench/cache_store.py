"""Time the cache's file: how long a get and a put of 2 kB take among 100,000 entries on disk.

The memory in front is too small to hold any of them, so that each get reads the file; the
operating system has the file in its own cache, as it has in service. Keys are asked for at random.

Run: python -m bench.cache_store [--entries 100000] [--gets 50000]
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import TypeVar

from pointsman.cache.memory import MemoryCache
from pointsman.cache.sqlite import SqliteCache

VALUE_BYTES = 2_000
DISK_BYTES = 1024 * 1024 * 1024
NOW_S = 1_800_000_000.0
_BATCH = 1_000

_Item = TypeVar("_Item")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cache_store")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--gets", type=int, default=50_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.db"
        cache = opened(path, memory_bytes=0)
        entries = [(_key(number), _value(number)) for number in range(given.entries)]
        puts = timed(
            lambda entry: cache.put(*entry, now_s=NOW_S),
            entries,
            after=lambda done: cache.flush() if done % _BATCH == 0 else None,
        )
        cache.flush()
        os.sync()  # what is still written would be measured with the reads
        assert all(cache.get(key, now_s=NOW_S) == value for key, value in entries)
        rng = Random(1)
        asked = [rng.choice(entries)[0] for _ in range(given.gets)]
        missing = [_key(given.entries + number) for number in range(given.gets)]

        def find(key: bytes) -> object:
            return cache.get(key, now_s=NOW_S)

        print(
            f"{given.entries:,} entries of {VALUE_BYTES:,} bytes, {disk_mb(path):,.0f} MB on disk"
        )
        print(told("put (queued for the writer)", puts))
        print(told("get from the file", timed(find, asked)))
        print(told("get of what is not there", timed(find, missing)))
        cache.close()
        began_s = time.perf_counter()
        cache = opened(path, memory_bytes=64 * 1024 * 1024)
        print(f"{'open again':28}     {(time.perf_counter() - began_s) * 1e6:8.1f} us")
        few = [entries[number % 1_000][0] for number in range(given.gets)]
        timed(find, few)
        print(told("get from the memory in front", timed(find, few)))
        cache.close()


def opened(path: Path, *, memory_bytes: int) -> SqliteCache:
    """Return a cache with so much memory before its file."""
    memory = MemoryCache(memory_bytes, 86_400)
    return SqliteCache(path, memory=memory, disk_bytes_max=DISK_BYTES, ttl_s=86_400)


def timed(
    work: Callable[[_Item], object],
    items: Sequence[_Item],
    *,
    after: Callable[[int], object] = lambda done: None,
) -> list[int]:
    """Return how long each took, in nanoseconds; `after` each something may be done untimed."""
    took: list[int] = []
    for done, item in enumerate(items, 1):
        began_ns = time.perf_counter_ns()
        work(item)
        took.append(time.perf_counter_ns() - began_ns)
        after(done)
    return took


def told(what: str, took: Sequence[int]) -> str:
    """Return the median, the 99th and the 99.9th of 100."""
    ordered = sorted(took)
    shares = (ordered[int(len(ordered) * share)] / 1_000 for share in (0.5, 0.99, 0.999))
    return f"{what:28} " + " ".join(
        f"{name} {us:8.1f} us" for name, us in zip(("p50", "p99", "p99.9"), shares, strict=True)
    )


def disk_mb(path: Path) -> float:
    """Return what the file and what belongs to it take."""
    return sum(file.stat().st_size for file in path.parent.iterdir()) / 1e6


def _key(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


def _value(number: int) -> bytes:
    return (_key(number) * (VALUE_BYTES // 32 + 1))[:VALUE_BYTES]


if __name__ == "__main__":
    main()
