"""Kills: a small share of what `python -m soak g1_crash` does at full size."""

import sys
from random import Random

import msgspec
import pytest
from soak.g1_crash import Verdict, crash_ledger, crash_server, judge_core
from tests.ledger.attempts import SETTLED, intent

from pointsman.ledger import Row

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")


def test_a_killed_ledger_has_all_it_promised(tmp_path):
    found = crash_ledger(tmp_path / "a.db", kills=15, operations=10_000, rng=Random(7))
    assert found.operations > 5_000
    assert (found.lost, found.doubled, found.wrong) == ([], [], [])


async def test_a_killed_server_has_booked_all_that_its_upstream_saw(tmp_path):
    found = await crash_server(tmp_path, kills=3, requests=300, rng=Random(7))
    assert found.operations > 100
    assert (found.lost, found.doubled, found.wrong) == ([], [], [])


@pytest.mark.parametrize(
    ("rows", "called", "settled", "fault"),
    [
        ([], {5}, set(), "lost"),
        ([("r5", 6)], {5}, {5}, ""),
        ([("r5", 6)], {5}, {5, 6}, "lost"),
        ([("r5", 7)], {5}, {5}, "wrong"),
        ([("r5", 6)], set(), set(), "wrong"),
        ([("r5", 6), ("r5", 6)], {5}, {5}, "doubled"),
    ],
)
def test_the_judge_finds_what_is_amiss(rows, called, settled, fault):
    verdict = Verdict()
    booked = [
        Row(
            intent=intent(name),
            settlement=msgspec.structs.replace(SETTLED, cost_nanousd=cost),
        )
        for name, cost in rows
    ]
    judge_core(iter(booked), called, settled, verdict)
    faults = {"lost": verdict.lost, "doubled": verdict.doubled, "wrong": verdict.wrong}
    assert [name for name, found in faults.items() if found] == ([fault] if fault else [])
