"""G4: worlds of the simulation, each drawn from its seed, on all cores; and that they replay.

`tests/simulation` says what a world is and what must hold in it.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context

from tests.simulation.world import replayed

from soak import Figure

WORLDS = 10_000
_PART = 100
_REPLAYED = 50  # one of so many is let happen twice


def measure(scale: float = 1.0, *, begins: int = 0) -> list[Figure]:
    """Return in how many worlds something did not hold, and how many came out otherwise again."""
    worlds = max(_PART, round(WORLDS * scale))
    starts = range(begins, begins + worlds, _PART)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_live, starts))
        again = list(pool.map(_live_again, starts))
    broken = sorted(chain.from_iterable(found))
    other = sum(compare(first, second) for first, second in again)
    told = f"{len(broken)} of {len(starts) * _PART:,}" + _named(broken)
    twice = sum(len(first) for first, _ in again)
    return [
        Figure("G4", "worlds in which something does not hold", "0", told, not broken),
        Figure("G4", "worlds that come out otherwise again", "0", f"{other} of {twice}", not other),
    ]


def compare(first: Iterable[str], second: Iterable[str]) -> int:
    """Return how many digests differ."""
    return sum(a != b for a, b in zip(first, second, strict=True))


def _live(begins: int) -> list[int]:
    """Return the seeds of a part whose worlds break."""
    return [seed for seed in range(begins, begins + _PART) if replayed(seed).broken]


def _live_again(begins: int) -> tuple[list[str], list[str]]:
    """Return the digests of a few worlds of a part, twice."""
    seeds = range(begins, begins + _PART, _REPLAYED)
    return [replayed(s).digest for s in seeds], [replayed(s).digest for s in seeds]


def _named(broken: list[int]) -> str:
    if not broken:
        return ""
    return f"; replay: python -m tests.simulation.replay {broken[0]}"
