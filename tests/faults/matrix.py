"""The matrix: all its cases, and the cells that they make."""

from tests.faults import after_content, before_content, resting
from tests.faults.cells import Case, cells_of

CASES: tuple[Case, ...] = tuple(
    sorted((*before_content.CASES, *after_content.CASES, *resting.CASES), key=lambda case: case.row)
)
CELLS = cells_of(CASES)
ROWS = (*range(1, 23), *range(25, 33))
