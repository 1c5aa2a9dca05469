"""The matrix: all its cases, and the cells that they make."""

from tests.faults import after_content, before_content, holding, killed, leaving, resting
from tests.faults.cells import Case, cells_of

_MODULES = (before_content, after_content, resting, leaving, killed, holding)
CASES: tuple[Case, ...] = tuple(
    sorted((case for module in _MODULES for case in module.CASES), key=lambda case: case.row)
)
CELLS = cells_of(CASES)
ROWS = (*range(1, 23), *range(25, 33))
