"""Region: memory that a process shares with those it forks, and locks that die with their holder.

Made before the fork. The memory belongs to no file: it is gone with the last process. The locks are
POSIX record locks, each on a byte of an empty file without a name: the kernel frees what a process
held that is killed, which a semaphore or a lock in the memory itself would not survive.
"""

import mmap
import os
import sys
import tempfile
import threading
import time

if sys.platform != "win32":
    import fcntl

# Who holds a lock works in memory alone, some 20 µs; only one that was stopped keeps it for longer.
_TRIES = 2_000
_WAIT_S = 0.00005


class Region:
    """`size_bytes` of zeros. `memory` is read and written by all; who writes holds a lock."""

    def __init__(self, size_bytes: int) -> None:
        self.memory = mmap.mmap(-1, size_bytes)
        with tempfile.TemporaryFile() as file:
            self._locks = os.dup(file.fileno())  # open for as long as the process
        # A record lock is the process's: it keeps no thread of the same process out.
        self._thread = threading.Lock()

    def locked(self, part: int = 0) -> "Held":
        """Return what holds the lock of a part, by its number, for the time of a block.

        Entering raises TimeoutError after 0.1 s or more.
        """
        return Held(self, part)

    def take(self, part: int) -> None:
        """Take the lock of a part. Raises TimeoutError after 0.1 s or more."""
        self._thread.acquire()
        for _ in range(_TRIES):
            try:
                fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, part)
            except (BlockingIOError, PermissionError):  # as the system likes to say it
                time.sleep(_WAIT_S)
            else:
                return
        self._thread.release()
        raise TimeoutError("another process holds a lock of the shared memory, and does not run")

    def give(self, part: int) -> None:
        """Give the lock of a part back."""
        fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, part)
        self._thread.release()


class Held:
    """The lock of a region's part while a block runs."""

    __slots__ = ("_part", "_region")

    def __init__(self, region: Region, part: int) -> None:
        self._region, self._part = region, part

    def __enter__(self) -> None:
        self._region.take(self._part)

    def __exit__(self, *_: object) -> None:
        self._region.give(self._part)
