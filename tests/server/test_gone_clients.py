"""Clients that leave a real server at every point of a request: the small form of `soak`."""

import asyncio
import sys
from pathlib import Path
from random import Random

import pytest
from soak.gone_clients import leave


@pytest.mark.skipif(sys.platform != "linux", reason="sockets are counted in /proc")
def test_a_client_that_leaves_leaves_nothing_behind(tmp_path: Path):
    reached, left_behind = asyncio.run(leave(tmp_path, 28, Random(1)))
    assert "of 24 later" in reached.reached  # each of them reached the upstream; no time is tested
    assert left_behind.is_met, left_behind.reached
