"""What a plan is held at: no sequence of attempts that it allows can cost more, nor can less do."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import deployment

from pointsman.core.errors import BudgetExceeded
from pointsman.core.plan import (
    TRIES_PER_TARGET_MAX,
    Affordable,
    bounded,
    plan_worst_case_nanousd,
)
from pointsman.core.types import Plan, Step

NAMES = tuple("abcd")
TIERS = ("fast", "mid", "power")
COSTS: st.SearchStrategy[int | None] = st.integers(0, 50)


@st.composite
def plans(draw: st.DrawFn, costs: st.SearchStrategy[int | None] = COSTS) -> Plan:
    """Draw a plan that climbs; a deployment may stand in it twice, at another worst case."""
    places = draw(
        st.lists(
            st.tuples(st.sampled_from(TIERS), st.sampled_from(NAMES)),
            min_size=1,
            max_size=7,
            unique=True,
        )
    )
    places.sort(key=lambda place: TIERS.index(place[0]))
    steps = [
        Step(
            tier=tier,
            deployment=deployment(f"p/{name}"),
            is_gated=tier != places[-1][0],
            worst_case_nanousd=draw(costs),
        )
        for tier, name in places
    ]
    return Plan(steps=tuple(steps), attempts_max=draw(st.integers(1, 5)))


def walk(plan: Plan, first: int, data: Any) -> list[Step]:
    """Draw a sequence of attempts as the walk may make it: again, on, or up, never back."""
    tried: list[Step] = []
    tries: Counter[str] = Counter()
    index = first
    while index < len(plan.steps) and len(tried) < plan.attempts_max:
        step = plan.steps[index]
        is_skipped = bool(tried) and data.draw(st.booleans())
        if is_skipped or tries[step.deployment.id] >= TRIES_PER_TARGET_MAX:
            index += 1
            continue
        tried.append(step)
        tries[step.deployment.id] += 1
    return tried


def cost(steps: list[Step]) -> int:
    return sum(step.worst_case_nanousd or 0 for step in steps)


@given(plan=plans(), data=st.data())
def test_no_sequence_of_attempts_costs_more_than_its_part_of_the_plan_is_held_at(plan, data):
    first = data.draw(st.integers(0, len(plan.steps) - 1))
    amounts = Affordable(plan, first)
    for amount in amounts:
        assert cost(walk(amounts.part(amount), first, data)) <= amount


@given(plan=plans(), data=st.data())
def test_the_parts_get_cheaper_begin_alike_and_stay_gated_rightly(plan, data):
    first = data.draw(st.integers(0, len(plan.steps) - 1))
    amounts = Affordable(plan, first)
    parts = [(amount, amounts.part(amount)) for amount in amounts]
    assert [amount for amount, _ in parts] == list(amounts[:]) and len(amounts) == len(parts)
    assert parts[0] == (plan_worst_case_nanousd(plan.steps[first:], plan.attempts_max), plan)
    assert all(before[0] > after[0] for before, after in pairwise(parts))
    for _, part in parts:
        assert len(part.steps) > first
        assert [(s.tier, s.deployment) for s in part.steps] == [
            (s.tier, s.deployment) for s in plan.steps[: len(part.steps)]
        ]
        assert part.resting == plan.resting and part.attempts_max <= plan.attempts_max
        assert all(s.is_gated == (s.tier != part.steps[-1].tier) for s in part.steps)
    # The least that is ever asked for is one try of the step that comes first.
    assert parts[-1][0] == plan.steps[first].worst_case_nanousd


@given(costs=st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_a_chain_of_failures_can_cost_all_that_is_held(costs):
    """One tier, each of its models tried twice: that is allowed, and is the worst there is."""
    steps = tuple(
        Step(tier="t", deployment=deployment(f"p/{name}"), worst_case_nanousd=worst)
        for name, worst in zip(NAMES, costs, strict=False)
    )
    assert plan_worst_case_nanousd(steps, attempts_max=8) == 2 * sum(costs)
    assert plan_worst_case_nanousd(steps, attempts_max=1) == max(costs)


@given(plan=plans(st.none() | st.integers(0, 50)))
def test_what_has_no_known_worst_case_is_left_out_or_refused_by_name(plan):
    if all(step.worst_case_nanousd is None for step in plan.steps):
        with pytest.raises(BudgetExceeded, match=r"p/[abcd].*\[prices\.") as caught:
            bounded(plan)
        assert caught.value.scope == ""
        return
    left = bounded(plan)
    kept = [s.deployment.id for s in plan.steps if s.worst_case_nanousd is not None]
    assert [step.deployment.id for step in left.steps] == kept
    assert all(step.is_gated == (step.tier != left.steps[-1].tier) for step in left.steps)
