"""The allowance: what may be spent within any 24 hours, whatever is under way."""

from hypothesis import given
from hypothesis import strategies as st

from pointsman.audit.allowance import DAY_NS, Allowance


def test_what_is_reserved_counts_until_what_was_spent_takes_its_place():
    allowance = Allowance(100)
    assert allowance.reserve(60, 0)
    assert not allowance.reserve(50, 0)
    allowance.settle(60, 10, 0)
    assert allowance.reserve(90, 0)
    assert not allowance.reserve(1, 0)


def test_what_was_spent_is_forgotten_after_a_day():
    allowance = Allowance(100, [(0, 70), (10, 30)])
    assert not allowance.reserve(1, DAY_NS - 1)
    assert allowance.reserve(70, DAY_NS)
    assert not allowance.reserve(1, DAY_NS)
    allowance.settle(70, 0, DAY_NS)
    assert allowance.reserve(100, DAY_NS + 10)


def test_a_lower_limit_holds_at_once():
    allowance = Allowance(100, [(0, 50)])
    allowance.limit_nanousd = 40
    assert not allowance.reserve(0, 1)
    assert allowance.reserve(40, DAY_NS)


@given(
    limit=st.integers(0, 1_000),
    steps=st.lists(st.tuples(st.integers(0, DAY_NS), st.integers(0, 400), st.integers(0, 100))),
)
def test_within_no_day_more_is_spent_than_the_limit(limit: int, steps: list[tuple[int, int, int]]):
    """Each step waits, reserves, and spends a share (per cent) of what it got."""
    allowance, now, spent = Allowance(limit), 0, list[tuple[int, int]]()
    for wait, worst, share in steps:
        now += wait
        if allowance.reserve(worst, now):
            spent.append((now, worst * share // 100))
            allowance.settle(worst, spent[-1][1], now)
        assert sum(cost for at, cost in spent if at > now - DAY_NS) <= limit
