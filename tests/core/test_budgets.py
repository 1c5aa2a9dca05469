"""Windows by their dates, the smaller of two limits, and the refusal that says what is left."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.core.budgets import (
    Budget,
    Limit,
    Spent,
    largest_fitting,
    limits_at,
    scopes_of,
    tightened,
    window_bounds,
    windows_at,
)
from pointsman.core.errors import BudgetExceeded

USD = 1_000_000_000
DAY = Limit("all", "2026-11-23", 20 * USD)
MONTH = Limit("key:ci", "2026-11", 300 * USD)


@given(at_ns=st.integers(0, 4_000_000_000 * 10**9))
def test_a_moment_lies_within_its_day_and_its_month(at_ns):
    for window in windows_at(at_ns):
        start_ns, end_ns = window_bounds(window)
        assert start_ns <= at_ns < end_ns
        assert window in windows_at(start_ns) and window in windows_at(end_ns - 1)
        assert window not in windows_at(end_ns)


def test_a_budget_is_a_limit_of_its_day_or_month_in_utc():
    at = datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC)
    budgets = (Budget("all", "day", 20 * USD), Budget("key:ci", "month", 300 * USD))
    assert limits_at(budgets, int(at.timestamp()) * 10**9) == (DAY, MONTH)


def test_of_two_budgets_for_one_scope_and_window_the_smaller_holds():
    two = (Budget("key:a", "day", 5), Budget("key:a", "month", 9), Budget("key:a", "day", 3))
    assert set(tightened(two)) == {Budget("key:a", "day", 3), Budget("key:a", "month", 9)}


@pytest.mark.parametrize(
    ("left", "fits"), [(9, 9), (8, 5), (5, 5), (4, 2)], ids=["all", "less", "exactly", "the least"]
)
def test_the_most_that_fits_all_limits_is_taken(left, fits):
    wide = Spent(MONTH, nanousd=0, held_nanousd=0)
    tight = Spent(DAY, nanousd=20 * USD - left - 1, held_nanousd=1)
    assert largest_fitting((9, 5, 2), (wide, tight)) == fits


def test_what_does_not_fit_is_refused_with_what_is_left_and_what_was_asked():
    spent = Spent(DAY, nanousd=15 * USD, held_nanousd=4 * USD)
    with pytest.raises(BudgetExceeded) as caught:
        largest_fitting((5 * USD, 2 * USD), (Spent(MONTH, nanousd=0, held_nanousd=0), spent))
    told = caught.value
    assert (told.scope, told.window) == ("all", "2026-11-23")
    for part in ('"all"', "2026-11-23", "$1.00 of $20.00", "$2.00", "next day"):
        assert part in told.message
    assert not told.is_client_retry_useful


def test_a_request_counts_for_its_key_and_its_tags_an_audit_for_nobody():
    tags = {"team": "search", "env": "prod"}
    assert scopes_of("ci", tags, is_audit=False) == (
        "all", "key:ci", "tag:team=search", "tag:env=prod",
    )  # fmt: skip
    assert scopes_of("", {}, is_audit=False) == ("all",)
    assert scopes_of("ci", tags, is_audit=True) == ("all",)
