"""A failing upstream is not called more often for failing: the small form of `soak` G5."""

from functools import partial
from random import Random

import pytest
from soak.g5_amplification import (
    ATTEMPTS_MAX,
    CALLS_SHARE_MAX,
    OUTAGES,
    TRIES_MAX,
    random_graphs,
    run_virtual,
    total_outage,
)


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("name", OUTAGES)
def test_a_dead_target_gets_few_calls_more_than_there_are_requests(name: str, targets: int):
    outage = run_virtual(partial(total_outage, name, targets, 0.0, Random(1)))
    assert 0 < outage.share <= CALLS_SHARE_MAX


def test_any_graph_of_fallbacks_comes_to_an_end():
    ended, attempts, tries = run_virtual(partial(random_graphs, 150, Random(2)))
    assert (ended, attempts, tries) == (150, ATTEMPTS_MAX, TRIES_MAX)
