"""Memory store: the least recently used entries make room. Gone when the process ends."""

from collections import OrderedDict
from threading import Lock

# What an entry takes beside the bytes of its key and value, measured with tracemalloc at 251 and
# rounded up for tables that have just grown. CPython 3.11, 64 bits.
ENTRY_OVERHEAD_BYTES = 300


class MemoryCache:
    """At most `bytes_max` bytes, keys and `ENTRY_OVERHEAD_BYTES` for each entry included.

    An entry is served for less than `ttl_s` seconds. A value of more than `entry_bytes_max` bytes,
    or one that would not fit alone, is not kept. Safe to use from several threads.
    """

    def __init__(self, bytes_max: int, ttl_s: float, *, entry_bytes_max: int | None = None) -> None:
        self._bytes_max = bytes_max
        self._ttl_s = ttl_s
        self._entry_bytes_max = bytes_max if entry_bytes_max is None else entry_bytes_max
        self._bytes_used = 0
        self._entries: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._lock = Lock()

    @property
    def bytes_used(self) -> int:
        """Return what all entries take, at most `bytes_max`."""
        return self._bytes_used

    def get(self, key: bytes, *, now_s: float) -> bytes | None:
        """Return the value kept under `key`, None when there is none that is still fresh."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            written_s, value = entry
            if not is_fresh(written_s, now_s=now_s, ttl_s=self._ttl_s):
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return value

    def put(self, key: bytes, value: bytes, *, now_s: float) -> None:
        """Keep `value`, dropping those not read for longest; a value too large is not kept."""
        entry_bytes = _entry_bytes(key, value)
        with self._lock:
            self._drop(key)
            if len(value) > self._entry_bytes_max or entry_bytes > self._bytes_max:
                return
            self._bytes_used += entry_bytes
            self._entries[key] = (now_s, value)
            while self._bytes_used > self._bytes_max:
                self._drop(next(iter(self._entries)))

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
            self._bytes_used = 0

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes_used -= _entry_bytes(key, entry[1])


def is_fresh(written_s: float, *, now_s: float, ttl_s: float) -> bool:
    """Return whether an entry may still be served.

    One from the future (the clock was set back) counts like one as old, so that it cannot stay
    for ever.
    """
    return abs(now_s - written_s) < ttl_s


def _entry_bytes(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ENTRY_OVERHEAD_BYTES
