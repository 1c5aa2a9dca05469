"""A fuzz target: one parser, what it may raise, how long it may take, and where to begin."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

# FAULTS, G8: nothing may hold the event loop up for longer. CPU time of this thread, so that a
# busy machine is no finding; of three runs the best counts.
SLOW_S = 0.1
_RUNS = 3


class BrokenContract(AssertionError):
    """A parser did what its documentation says it never does."""


@dataclass(frozen=True, slots=True)
class Target:
    """`run` reads an input and checks what came of it; `refusals` are what it may raise.

    `seeds`: whole inputs to begin from. `is_json`: they are JSON, so that mutating their values is
    worth more than mutating their bytes.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    refusals: tuple[type[Exception], ...] = ()
    is_json: bool = False


def check(target: Target, data: bytes, *, slow_s: float = SLOW_S) -> None:
    """Feed one input. Raises whatever the target may not raise, and BrokenContract for slowness."""
    took_s = _timed(target, data)
    if took_s > slow_s:
        took_s = min(_timed(target, data) for _ in range(_RUNS))
    if took_s > slow_s:
        raise BrokenContract(f"{target.name}: {len(data)} bytes took {took_s:.3f} s of CPU")


def expect(is_so: object, what: str) -> None:
    """Raise BrokenContract where something is not so."""
    if not is_so:
        raise BrokenContract(what)


def _timed(target: Target, data: bytes) -> float:
    began_s = time.thread_time()
    with suppress(*target.refusals):
        target.run(data)
    return time.thread_time() - began_s
