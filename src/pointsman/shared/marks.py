"""Marks: what has been done once, by whichever worker came first."""

import struct
from collections.abc import Hashable
from hashlib import blake2b
from typing import Protocol

from pointsman.shared.region import Region

_KEPT_MAX = 10_000
_COUNT = struct.Struct("<Q")
_MARK_BYTES = 16


class Marks(Protocol):
    """Things that are to be done once."""

    def first(self, *what: Hashable) -> bool:
        """Return whether nobody has come with this yet; long forgotten things are new again."""


class OwnMarks:
    """One process's."""

    def __init__(self) -> None:
        self._seen = set[tuple[Hashable, ...]]()

    def first(self, *what: Hashable) -> bool:
        """Return whether nobody has come with this yet."""
        if what in self._seen:
            return False
        if len(self._seen) >= _KEPT_MAX:
            self._seen.clear()
        self._seen.add(what)
        return True


class SharedMarks:
    """Those of all workers: the latest `_KEPT_MAX`, as digests side by side."""

    def __init__(self) -> None:
        self._region = Region(_COUNT.size + _KEPT_MAX * _MARK_BYTES)
        self._own = OwnMarks()  # what was seen here need not be looked for

    def first(self, *what: Hashable) -> bool:
        """Return whether no worker has come with this yet; True too where nobody can tell."""
        if not self._own.first(*what):
            return False
        mark = blake2b(repr(what).encode(), digest_size=_MARK_BYTES).digest()
        try:
            with self._region.locked():
                return self._enter(mark)
        except TimeoutError:
            return True

    def _enter(self, mark: bytes) -> bool:
        memory = self._region.memory
        (count,) = _COUNT.unpack_from(memory)
        at = memory.find(mark, _COUNT.size)
        while at >= 0 and (at - _COUNT.size) % _MARK_BYTES:  # across two of them
            at = memory.find(mark, at + 1)
        if at >= 0:
            return False
        place = _COUNT.size + count % _KEPT_MAX * _MARK_BYTES
        memory[place : place + _MARK_BYTES] = mark
        _COUNT.pack_into(memory, 0, count + 1)
        return True
