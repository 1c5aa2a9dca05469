"""500 worlds, one after the other; each is its seed's, whichever process it happens in."""

import os
import subprocess
import sys

import pytest
from tests.simulation.world import replayed, run

SEEDS = 500
_PART = 50
_AGAIN = (3, 47, 141, 257)


@pytest.mark.parametrize("begins", range(0, SEEDS, _PART))
def test_what_must_hold_holds_in_every_world(begins: int) -> None:
    for seed in range(begins, begins + _PART):
        run(seed)


def test_a_seed_happens_again_as_it_was() -> None:
    for seed in _AGAIN:
        first, second = replayed(seed), replayed(seed)
        assert first.lines == second.lines
        assert any(" call " in line for line in first.lines), "something happened in it"


def test_a_seed_happens_in_another_process_as_it_was_here() -> None:
    for seed in _AGAIN:
        other = subprocess.run(
            [sys.executable, "-m", "tests.simulation.replay", str(seed), "--digest"],
            env={**os.environ, "PYTHONHASHSEED": "11"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert other.stdout.split()[-1] == replayed(seed).digest


def test_worlds_differ() -> None:
    assert len({replayed(seed).digest for seed in range(20)}) == 20
