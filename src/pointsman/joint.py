"""Joint: what the workers of one server hold in common, made before they are forked."""

from dataclasses import dataclass, replace

from pointsman.access.shared_uses import SharedUses
from pointsman.cache import CacheSettings, share_memory
from pointsman.cache.shared import SharedMemoryCache
from pointsman.shared import SharedMarks


@dataclass(frozen=True, slots=True)
class Joint:
    """`workers`: how many there are; `place`: which of them this is, from 0.

    `requests` and `tokens`: what keys use of their rates. `memory`: the cache's, None where it has
    none of ours. `told`: the budgets of which somebody has been told.
    """

    workers: int
    requests: SharedUses
    tokens: SharedUses
    memory: SharedMemoryCache | None
    told: SharedMarks
    place: int = 0

    @property
    def is_first(self) -> bool:
        """Return whether this worker does what is to be done once on a machine."""
        return self.place == 0

    def seated(self, place: int) -> "Joint":
        """Return it for a worker, in that worker's own process."""
        self.requests.seat(place)
        self.tokens.seat(place)
        return replace(self, place=place)

    def forget(self, place: int) -> None:
        """Give back what a worker held that has died."""
        self.requests.forget(place)
        self.tokens.forget(place)


def build_joint(workers: int, cache: CacheSettings) -> Joint:
    """Return what so many workers hold in common."""
    return Joint(
        workers=workers,
        requests=SharedUses(workers),
        tokens=SharedUses(workers),
        memory=share_memory(cache),
        told=SharedMarks(),
    )
