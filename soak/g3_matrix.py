"""G3: the fault matrix, every cell. `make faults` prints the cells one by one."""

from tests.faults.matrix import CELLS
from tests.faults.table import NOT_HERE, PASS, outcome

from soak import Figure

CELLS_MIN = 150


def measure(scale: float = 1.0) -> list[Figure]:
    """Return how many cells pass; a scale below 1 takes every so-manieth of them."""
    cells = CELLS[:: max(1, round(1 / scale))]
    results = [outcome(cell) for cell in cells]
    passed, not_here = results.count(PASS), results.count(NOT_HERE)
    told = f"{passed} of {len(cells)}"
    if not_here:
        told += f"; {not_here} more cannot be made on this machine"
    is_met = passed + not_here == len(cells) and (scale < 1.0 or passed >= CELLS_MIN)
    return [Figure("G3", "cells of the fault matrix that pass", "all of >= 150", told, is_met)]
