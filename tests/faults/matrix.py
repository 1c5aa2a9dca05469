"""The matrix: all its cases, and the cells that they make."""

from tests.faults import before_content
from tests.faults.cells import Case, cells_of

CASES: tuple[Case, ...] = tuple(sorted(before_content.CASES, key=lambda case: case.row))
CELLS = cells_of(CASES)
ROWS = (*range(1, 23), *range(25, 33))
