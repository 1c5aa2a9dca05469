"""Prospects: gaps, expected losses, and how much loss a floor leaves room for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import features, tier

from pointsman.scorer.model import shipped
from pointsman.scorer.prospects import (
    Outlook,
    expected_costs,
    prior_threshold,
    tier_gaps,
)
from pointsman.scorer.reading import GROUPS

# Half the requests gain nothing; a quarter holds a quarter of the gain, the last the rest.
SPREAD = [(0.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.75, 1.0, 0.25), (1.0, 3.0, 1.0)]


def test_gaps_are_against_the_strongest_and_never_negative():
    assert tier_gaps([0.5, 0.9, 0.8]) == pytest.approx((0.3, 0.0, 0.0))


@pytest.mark.parametrize(
    ("floor", "threshold"),
    [
        (1.0, 0.0),  # only those who gain nothing may go down
        (0.96, 0.0),  # 0.04 of quality is less than the quarter of the gap, 0.05
        (0.94, 0.2),  # 0.06 pays for the quarter: gap 0.2 x relative gain 1
        (0.75, 0.6),  # 0.25 pays for all of the gap
    ],
)
def test_the_threshold_spends_what_the_floor_leaves(floor: float, threshold: float):
    assert prior_threshold(SPREAD, (0.2, 0.0), 1.0, floor) == pytest.approx(threshold)


def test_a_cheap_tier_that_is_as_good_takes_everything():
    assert prior_threshold(SPREAD, (0.0, 0.0), 0.9, 0.95) == 0.0
    outlook = Outlook("chat", 0.9, (0.0, 0.0), ("measured",) * 2, ("", ""), 0.0)
    assert outlook.losses(5.0) == (0.0, 0.0)


def test_a_middle_tier_makes_room_for_more():
    alone = prior_threshold(SPREAD, (0.4, 0.0), 1.0, 0.9)
    with_middle = prior_threshold(SPREAD, (0.4, 0.1, 0.0), 1.0, 0.9)
    assert alone == pytest.approx(0.4)
    # All of the gap of the middle tier, 0.1 x 3, is within the threshold, so it takes the rest.
    assert with_middle >= 0.3


@given(
    gaps=st.lists(st.floats(0, 1), min_size=1, max_size=4).map(
        lambda found: (*sorted(found, reverse=True), 0.0)
    ),
    floors=st.tuples(st.floats(0.5, 1), st.floats(0.5, 1)),
    group=st.sampled_from(GROUPS),
)
def test_a_higher_floor_never_allows_more_loss(
    gaps: tuple[float, ...], floors: tuple[float, float], group: str
):
    spread = shipped().spread(group)
    low, high = (prior_threshold(spread, gaps, 0.9, floor) for floor in sorted(floors))
    assert low >= high >= 0


def test_losses_grow_with_the_relative_gain_and_stay_within_the_quality():
    outlook = Outlook("chat", 0.8, (0.3, 0.1, 0.0), ("price",) * 3, ("",) * 3, 0.05)
    assert outlook.losses(0.5) == pytest.approx((0.15, 0.05, 0.0))
    assert outlook.losses(100.0) == pytest.approx((0.8, 0.8, 0.0))


def test_a_tier_without_a_price_has_no_expected_cost():
    assert list(expected_costs(features("x"), [tier("fast")], 100.0)) == [None]
