"""Efforts and budgets: order is kept, and no budget is exceeded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.wire.effort import budget_of, effort_of
from pointsman.core.wire.prompt import EFFORTS


def test_more_effort_is_never_a_smaller_budget():
    budgets = [budget_of(effort) for effort in EFFORTS]
    assert budgets == sorted(budgets)
    assert budgets[0] == 0 < budgets[1]


@pytest.mark.parametrize("effort", ["none", "low", "medium", "high"])
def test_an_effort_that_all_models_know_survives_the_way_there_and_back(effort):
    assert effort_of(budget_of(effort)) == effort


@given(budget=st.integers(1_024, 10**6), more=st.integers(0, 10**6))
def test_a_budget_is_never_exceeded_and_more_of_it_is_never_less_effort(budget, more):
    assert 0 < budget_of(effort_of(budget)) <= budget
    assert EFFORTS.index(effort_of(budget + more)) >= EFFORTS.index(effort_of(budget))


@pytest.mark.parametrize("budget", [1, 1_023])
def test_the_smallest_budget_still_thinks(budget):
    assert effort_of(budget) == "low"
