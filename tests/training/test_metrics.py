"""Metrics by hand-worked cases: four requests, of which two gain from the strongest tier."""

import numpy as np
import pytest

from pointsman.training.metrics import (
    UNKNOWN,
    Pair,
    apgr,
    calibration_error,
    cpt,
    hull_area,
    rank_figures,
    saving,
    trace,
    with_intervals,
)

# The cheapest answers two of four, the strongest all; 1 and 5 units of money a request.
PAIR = Pair(
    weak=np.array([1.0, 1.0, 0.0, 0.0]),
    strong=np.ones(4),
    weak_cost=np.ones(4),
    strong_cost=np.full(4, 5.0),
)
RIGHT = np.array([0.0, 1.0, 2.0, 3.0])  # sends the two that gain first
WRONG = -RIGHT
SAME = np.zeros(4)


def test_a_curve_goes_from_all_cheap_to_all_strong():
    curve = trace(RIGHT, PAIR)
    assert curve.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve.quality.tolist() == [0.5, 0.75, 1, 1, 1]
    assert curve.cost.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("need", "recovered"), [(RIGHT, 0.75), (WRONG, 0.25), (SAME, 0.5)], ids=str
)
def test_apgr_is_the_area_below_the_recovered_gap(need, recovered):
    # RIGHT recovers 0, 1/2, 1, 1, 1 of the gap at the five shares: trapezoids of 3/4 in all.
    assert apgr(trace(need, PAIR)) == pytest.approx(recovered)


@pytest.mark.parametrize(
    ("need", "wanted", "share"),
    [(RIGHT, 0.5, 0.25), (RIGHT, 0.8, 0.4), (WRONG, 0.5, 0.75), (SAME, 0.8, 0.8)],
)
def test_cpt_is_the_least_share_of_strong_calls_between_the_points(need, wanted, share):
    assert cpt(trace(need, PAIR), wanted) == pytest.approx(share)


@pytest.mark.parametrize(
    ("need", "kept", "saved"),
    # 0.9 of quality is met at 2 + (0.9 - 0.75) / 0.25 of money: 2.6 of 5.
    [(RIGHT, 0.9, 1 - 2.6 / 5), (RIGHT, 0.5, 0.8), (SAME, 0.75, 1 - 3 / 5), (WRONG, 1.0, 0.0)],
)
def test_saving_is_that_of_the_cheapest_point_that_keeps_quality(need, kept, saved):
    assert saving(trace(need, PAIR), kept) == pytest.approx(saved)


def test_the_hull_bridges_what_sags():
    # WRONG stays at 1/2 until half of the money is spent; its hull is the straight line to 1.
    assert hull_area(trace(WRONG, PAIR)) == pytest.approx(0.75)
    # RIGHT rises from 1/2 to 1 over half of the money: 3/4 and 1, half each.
    assert hull_area(trace(RIGHT, PAIR)) == pytest.approx(0.875)


def test_a_hull_never_falls_where_more_money_buys_less():
    worse = Pair(np.array([1.0, 0.0]), np.array([0.0, 0.0]), np.ones(2), np.full(2, 2.0))
    assert hull_area(trace(np.array([0.0, 1.0]), worse)) == pytest.approx(0.5)


def test_equal_scores_stand_in_no_order():
    halves = np.array([0.0, 0.0, 1.0, 1.0])
    assert trace(halves, PAIR).quality.tolist() == [0.5, 0.75, 1, 1, 1]
    assert trace(SAME, PAIR).quality.tolist() == [0.5, 0.625, 0.75, 0.875, 1]


def test_what_cannot_be_said_is_not_a_number():
    no_gap = Pair(np.ones(3), np.ones(3), np.ones(3), np.full(3, 2.0))
    free = Pair(np.zeros(3), np.ones(3), np.zeros(3), np.zeros(3))
    assert np.isnan(apgr(trace(np.arange(3.0), no_gap)))
    assert np.isnan(saving(trace(np.arange(3.0), free), 0.95))
    assert np.isnan(hull_area(trace(np.arange(3.0), free)))
    figures = with_intervals(lambda rows: rank_figures(np.zeros(len(rows)), no_gap), 3, 5)
    assert figures["apgr"] == UNKNOWN


def test_the_calibration_error_weighs_bins_by_their_requests():
    # Two values: half of the requests are predicted 0.9 and all right, half 0.5 and a quarter is.
    predicted = np.array([0.9] * 4 + [0.5] * 4)
    measured = np.array([1.0] * 4 + [1.0, 0.0, 0.0, 0.0])
    assert calibration_error(predicted, measured) == pytest.approx(0.5 * 0.1 + 0.5 * 0.25)
    assert calibration_error(measured, measured) == 0


def test_intervals_hold_the_value_and_repeat():
    values = np.random.default_rng(3).normal(2.0, 1.0, 400)
    figures = [with_intervals(lambda rows: {"mean": values[rows].mean()}, 400) for _ in range(2)]
    assert figures[0] == figures[1]
    mean = figures[0]["mean"]
    assert mean.low is not None and mean.value is not None and mean.high is not None
    # Of the mean of 400 draws with deviation 1 the middle 95% is about 0.2 wide.
    assert mean.low < mean.value < mean.high and 0.15 < mean.high - mean.low < 0.25
