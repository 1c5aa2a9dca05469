"""FAQ: answers by likeness alone, for routes that the operator declares to be an FAQ.

Elsewhere nothing is served by likeness alone. On such a route most prompts mean one of a few
questions, and a wrong answer now and then is borne: the operator says how often. The threshold
follows what is told of the answers that were given: it falls a little with every request, and rises
with every wrong answer by as much as it fell over as many requests as may hold one.

Source of the threshold's rule: Gibbs and Candès, "Adaptive Conformal Inference Under Distribution
Shift", 2021 (arXiv 2106.00170), equation 2, over the cosine in place of the error rate.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pointsman.cache.semantic.vectors import ENTRIES_MAX, NearestVectors
from pointsman.core.errors import ConfigError

if TYPE_CHECKING:
    from pointsman.cache.semantic.embedding import Vectors

# Chosen among two or three of each on shuffles of banking77, where they matter little; the bound on
# wrong answers rests on none of them.
_COSINE_AT_FIRST = 0.95
_COSINE_MIN = 0.5
_STEP = 0.03
_DISTRUST = 0.05  # what a wrong answer adds to the threshold of its own entry
_NEIGHBOURS = 8


class Allowance:
    """How often a route may answer wrongly, and from which cosine it answers at all.

    `wrong_share_max`, 0..1: of the route's requests, not of its hits. An answer counts as wrong
    until it is told to be right, so that neither a late judge nor a silent one breaks the bound:
    in any order of events those told to be wrong and those untold are at most `wrong_share_max` of
    the requests. The first 1 / `wrong_share_max` requests are therefore all misses.
    """

    def __init__(self, wrong_share_max: float) -> None:
        if not 0 < wrong_share_max < 1:
            raise ConfigError(
                f"an FAQ's share of wrong answers is {wrong_share_max}; set it above 0 and below 1"
            )
        self._wrong_share_max = wrong_share_max
        self._requests = 0
        self._wrong = 0
        self._untold = 0
        self.cosine_min = _COSINE_AT_FIRST

    def count(self) -> bool:
        """Count a request; return whether it may be answered by likeness."""
        self._requests += 1
        self._move(-_STEP * self._wrong_share_max)
        may_be_wrong = self._wrong + self._untold + 1
        return may_be_wrong <= self._wrong_share_max * self._requests

    def answered(self) -> None:
        """Count the answer that was just allowed."""
        self._untold += 1

    def told(self, *, is_right: bool) -> None:
        """Count what came out about one answer."""
        assert self._untold > 0, "an answer is told about once"
        self._untold -= 1
        if not is_right:
            self._wrong += 1
            self._move(_STEP)

    def _move(self, by: float) -> None:
        self.cosine_min = min(max(self.cosine_min + by, _COSINE_MIN), 1.0)


class Faq:
    """The kept answers of one route and what each has proved to be worth. For one thread."""

    def __init__(self, wrong_share_max: float, entries_max: int = ENTRIES_MAX) -> None:
        """`wrong_share_max`: see `Allowance`. Raises ConfigError for one that is out of range."""
        self._allowance = Allowance(wrong_share_max)
        self._vectors = NearestVectors(entries_max)
        self._distrust: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._vectors)

    def find(self, vector: "Vectors") -> tuple[bytes, float] | None:
        """Return the entry to answer with and its cosine, None for a miss.

        To be asked once for each request that no surer tier has answered. An entry that is returned
        counts as answered: `told` is to be called for it, or it counts as wrong for ever.
        """
        may_answer = self._allowance.count()
        if not may_answer:
            return None
        near = self._vectors.nearest(
            vector, cosine_min=self._allowance.cosine_min, count_max=_NEIGHBOURS
        )
        found = self._most_trusted(near)
        if found is not None:
            self._allowance.answered()
        return found

    def keep(self, entry_id: bytes, vector: "Vectors") -> None:
        """Keep an entry by its vector, trusted as a new one."""
        self._vectors.add(entry_id, vector)
        self._distrust = {
            known: by
            for known, by in self._distrust.items()
            if known in self._vectors and known != entry_id
        }

    def told(self, entry_id: bytes, *, is_right: bool) -> None:
        """Count what came out about an answer: its entry is trusted less where it was wrong."""
        self._allowance.told(is_right=is_right)
        if not is_right and entry_id in self._vectors:
            self._distrust[entry_id] = self._distrust.get(entry_id, 0.0) + _DISTRUST

    def forget(self, entry_id: bytes) -> bool:
        """Remove an entry; return whether it was there."""
        self._distrust.pop(entry_id, None)
        return self._vectors.remove(entry_id)

    def _most_trusted(self, near: Iterable[tuple[bytes, float]]) -> tuple[bytes, float] | None:
        """Return the entry that is furthest above its own threshold, None where none is."""
        over = [
            (cosine - self._distrust.get(entry_id, 0.0), entry_id, cosine)
            for entry_id, cosine in near
        ]
        best = max(over, default=None)
        if best is None or best[0] < self._allowance.cosine_min:
            return None
        return best[1], best[2]
