"""Vectors: kept entries by where they lie, and the nearest of them to a new one.

Every entry is compared with. `numpy.vecdot` does it on the thread that calls, unlike a product of
matrix and vector, which wakes BLAS's threads: 10,000 entries of 384 numbers took 0.3 ms against
0.9 ms, or 9 ms where other processes hold the cores. An index that skips entries pays far above
10,000 entries of one tenant only.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pointsman.cache.semantic.embedding import Vectors

ENTRIES_MAX = 10_000
_ROWS_AT_FIRST = 64


class NearestVectors:
    """Unit vectors under ids, at most `entries_max`: the one that came first makes room.

    For one thread. All vectors have the size of the first; one of another size, or without length,
    is not kept and has no neighbours.
    """

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._rows = np.zeros((0, 0), np.float32)
        self._ids: list[bytes] = []  # of each row in use
        self._places: dict[bytes, int] = {}  # in the order in which they came

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, entry_id: bytes) -> bool:
        return entry_id in self._places

    def add(self, entry_id: bytes, vector: "Vectors") -> None:
        """Keep a vector, (n_dimensions,), of length 1; the id's former one goes."""
        self.remove(entry_id)
        if not self._fits(vector):
            return
        while len(self._ids) >= self._entries_max:
            self.remove(next(iter(self._places)))
        place = len(self._ids)
        if place == len(self._rows):
            self._grow(len(vector))
        self._rows[place] = vector
        self._ids.append(entry_id)
        self._places[entry_id] = place

    def remove(self, entry_id: bytes) -> bool:
        """Forget an id; the last row takes its place. Return whether it was there."""
        place = self._places.pop(entry_id, None)
        if place is None:
            return False
        last = self._ids.pop()
        if last != entry_id:
            self._rows[place] = self._rows[len(self._ids)]
            self._ids[place] = last
            self._places[last] = place
        return True

    def nearest(
        self, vector: "Vectors", *, cosine_min: float, count_max: int = 1
    ) -> list[tuple[bytes, float]]:
        """Return the ids at a cosine of `cosine_min` or more, the nearest first."""
        if not self._ids or not self._fits(vector):
            return []
        cosines = np.vecdot(self._rows[: len(self._ids)], vector)
        if count_max == 1:
            best = [int(cosines.argmax())]
        else:
            best = [int(place) for place in np.argsort(-cosines, kind="stable")[:count_max]]
        return [
            (self._ids[place], float(cosines[place]))
            for place in best
            if cosines[place] >= cosine_min
        ]

    def _fits(self, vector: "Vectors") -> bool:
        known = self._rows.shape[1]
        return vector.ndim == 1 and len(vector) == (known or len(vector)) and bool(vector.any())

    def _grow(self, size: int) -> None:
        count = min(max(_ROWS_AT_FIRST, 2 * len(self._rows)), self._entries_max)
        rows = np.zeros((count, size), np.float32)
        rows[: len(self._ids), :] = self._rows[: len(self._ids)] if self._ids else 0
        self._rows = rows
