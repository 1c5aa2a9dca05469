"""Budgets through real sockets: a tenth of goal G2, which `make soak` runs in full."""

from soak import g2_budgets


def test_nothing_goes_over_a_budget_and_nothing_that_fits_is_denied():
    figures = g2_budgets.measure(0.1)
    assert [figure.what for figure in figures] == ["overshoot", "phantom denials"]
    assert all(figure.is_met for figure in figures), figures
