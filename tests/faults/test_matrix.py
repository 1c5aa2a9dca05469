"""The fault matrix of FAULTS, section 2: every cell through the real door, over real sockets."""

import pytest
from tests.faults.cells import MODES, Cell, NotHere
from tests.faults.matrix import CASES, CELLS, ROWS
from tests.faults.spoken import DIALECTS
from tests.faults.table import NAMES


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
async def test_cell(cell: Cell):
    try:
        await cell.run()
    except NotHere as reason:
        pytest.skip(str(reason))


def test_every_row_is_there_in_every_dialect_and_mode_or_says_why_not():
    assert len(CELLS) >= 150
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    assert set(NAMES) == set(ROWS) == {case.row for case in CASES}
    for row in ROWS:
        here = {(c.dialect.name, c.mode) for c in CELLS if c.case.row == row}
        modes = {mode for _, mode in here}
        assert here == {(dialect.name, mode) for dialect in DIALECTS for mode in modes}
        left_out = [case for case in CASES if case.row == row and set(case.modes) != set(MODES)]
        assert modes == set(MODES) or left_out
        assert all(case.why_not for case in left_out)
