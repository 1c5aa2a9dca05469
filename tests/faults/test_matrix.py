"""The fault matrix of FAULTS, section 2: every cell through the real door, over real sockets."""

import pytest
from tests.faults.cells import Cell, NotHere
from tests.faults.matrix import CELLS


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
async def test_cell(cell: Cell):
    try:
        await cell.run()
    except NotHere as reason:
        pytest.skip(str(reason))
