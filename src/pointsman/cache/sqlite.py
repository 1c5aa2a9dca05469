"""SQLite store: the memory store in front of one file that outlives a restart.

Reads are made where they are asked for; writes are queued for one thread, which makes many at once.
A process that is killed loses what was queued, and never more than that. Workers of one server
each have a writer for the one file, and share the memory in front of it.
"""

import logging
import sqlite3
from collections import deque
from contextlib import suppress
from pathlib import Path
from threading import Condition, Lock, Thread

from pointsman.cache.memory import MemoryCache, is_fresh
from pointsman.cache.shared import SharedMemoryCache
from pointsman.cache.sqlite_file import FAULTS, CacheFile, Change, Found, find, is_damage
from pointsman.core.errors import ConfigError

BATCH_BYTES_MAX = 1024 * 1024
QUEUE_BYTES_MAX = 32 * 1024 * 1024
CLOSE_S = 10.0

_log = logging.getLogger(__name__)


class SqliteCache:
    """The entries of `memory`, and in `path` those that are no longer there.

    The file takes at most `disk_bytes_max` bytes, log included; the oldest make room, and one that
    is read while it stands in the older half is written anew. A value of more bytes than
    `entry_bytes_max`, or than a 32nd of the file, is not kept in the file. A file found damaged is
    replaced once.

    Raises ConfigError when the file cannot be opened or is not a cache of ours.
    """

    def __init__(
        self,
        path: Path,
        *,
        memory: MemoryCache | SharedMemoryCache,
        disk_bytes_max: int,
        ttl_s: float,
        entry_bytes_max: int | None = None,
    ) -> None:
        self._path = path
        self._memory = memory
        self._ttl_s = ttl_s
        self._file = CacheFile(path, bytes_max=disk_bytes_max)
        limits = (self._file.entry_bytes_max, entry_bytes_max)
        self._entry_bytes_max = min(limit for limit in limits if limit is not None)
        self._reader: sqlite3.Connection | None = self._file.reader()
        self._reading = Lock()
        self._changed = Condition()  # guards all that follows
        self._queue: deque[Change] = deque()
        self._queue_bytes = 0  # what is being written included
        self._now_s = 0.0
        self._is_closed = False
        self._is_damaged = False
        self._replacements_left = 1
        self._logged = set[str]()
        self._thread = Thread(target=self._write_queued, name="cache-writer", daemon=True)
        self._thread.start()

    def get(self, key: bytes, *, now_s: float) -> bytes | None:
        """Return the value kept under `key`, None when there is none that is still fresh."""
        value = self._memory.get(key, now_s=now_s)
        if value is not None:
            return value
        found = self._find(key, now_s=now_s)
        if found is None:
            return None
        if not is_fresh(found.written_s, now_s=now_s, ttl_s=self._ttl_s):
            self._enqueue(Change(key), now_s=now_s)
            return None
        self._memory.put(key, found.value, now_s=found.written_s)
        if found.seq < self._file.aging_below:
            self._enqueue(Change(key, found.value, found.written_s), now_s=now_s)
        return found.value

    def put(self, key: bytes, value: bytes, *, now_s: float) -> None:
        """Keep `value` in memory at once and in the file soon, or never if the queue is full."""
        self._memory.put(key, value, now_s=now_s)
        is_kept = len(value) <= self._entry_bytes_max
        self._enqueue(Change(key, value if is_kept else None, now_s), now_s=now_s)

    def flush(self, timeout_s: float = CLOSE_S) -> bool:
        """Wait until all that is queued has been written or given up; False if not by then."""
        with self._changed:
            return self._changed.wait_for(lambda: self._queue_bytes == 0, timeout_s)

    def is_filed(self, key: bytes, value: bytes) -> bool:
        """Wait until what was put has been written; return whether the file has it so.

        True where there is no file any more: nothing will come out of it.
        """
        if not self.flush():
            return False
        if self._reader is None:
            return True
        found = self._find(key, now_s=self._now_s)
        return found is not None and found.value == value

    def close(self) -> None:
        """Write what is queued, for `CLOSE_S` at most, and let go of the file."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(CLOSE_S)
        with self._reading:
            self._let_go()
        self._memory.close()

    def _find(self, key: bytes, *, now_s: float) -> Found | None:
        with self._reading:
            try:
                return None if self._reader is None else find(self._reader, key)
            except sqlite3.DataError as error:
                self._log_once("reading", error)
                self._enqueue(Change(key), now_s=now_s)
            except FAULTS as error:
                self._log_once("reading", error)
                if is_damage(error):
                    # Still under the lock: the file in place is the one that is damaged.
                    with self._changed:
                        self._is_damaged = True
                        self._changed.notify_all()
        return None

    def _enqueue(self, change: Change, *, now_s: float) -> None:
        with self._changed:
            self._now_s = now_s
            if self._is_closed or self._queue_bytes + change.cost_bytes > QUEUE_BYTES_MAX:
                return
            self._queue.append(change)
            self._queue_bytes += change.cost_bytes
            self._changed.notify_all()

    def _write_queued(self) -> None:
        """Be the writer's thread: write batches until the cache is closed and the queue empty."""
        while (batch := self._next_batch()) is not None:
            try:
                if self._is_damaged:
                    self._replace()
                if batch and self._reader is not None:
                    self._file.write(batch, now_s=self._now_s, ttl_s=self._ttl_s)
            except FAULTS as error:
                self._log_once("writing", error)
                self._is_damaged = self._is_damaged or is_damage(error)
            finally:
                with self._changed:
                    self._queue_bytes -= sum(change.cost_bytes for change in batch)
                    self._changed.notify_all()
        self._file.close()

    def _next_batch(self) -> list[Change] | None:
        """Wait for something to do. None: closed, and nothing left."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._is_closed or self._is_damaged)
            if not self._queue and self._is_closed:
                return None
            batch: list[Change] = []
            batch_bytes = 0
            while self._queue and (not batch or batch_bytes < BATCH_BYTES_MAX):
                batch.append(self._queue.popleft())
                batch_bytes += batch[-1].cost_bytes
            return batch

    def _replace(self) -> None:
        """Replace the damaged file by an empty one; the second time, do without a file."""
        with self._reading:
            self._is_damaged = False
            self._let_go()
            if not self._replacements_left:
                return
            self._replacements_left -= 1
            with suppress(ConfigError, *FAULTS):  # then it stays without a file
                self._file.start_over()
                self._reader = self._file.reader()

    def _let_go(self) -> None:
        if self._reader is not None:
            with suppress(*FAULTS):
                self._reader.close()
            self._reader = None

    def _log_once(self, doing: str, error: BaseException) -> None:
        if doing in self._logged:
            return
        self._logged.add(doing)
        _log.warning(
            "[cache] path %r: %s failed (%s); the gateway works on without what is lost,"
            " and further faults are not logged",
            str(self._path),
            doing,
            error,
        )
