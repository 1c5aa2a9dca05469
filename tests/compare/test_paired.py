"""Sums of pairs give the textbook's ratio and difference, whichever parts they are added from."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.compare.paired import Z95, Paired

SHARES = st.floats(0, 1, width=16)
PAIRS = st.lists(st.tuples(SHARES, SHARES), max_size=30)


def sums(pairs: list[tuple[float, float]]) -> Paired:
    result = Paired()
    for x, y in pairs:
        result.add(x, y)
    return result


@given(pairs=PAIRS.filter(lambda pairs: len(pairs) > 1))
def test_the_difference_is_that_of_the_pairs(pairs):
    found = sums(pairs).difference()
    assert found is not None
    gaps = [x - y for x, y in pairs]
    half = Z95 * statistics.stdev(gaps) / len(gaps) ** 0.5
    mean = statistics.mean(gaps)
    assert found == pytest.approx((mean, mean - half, mean + half), abs=1e-6)


@given(first=PAIRS, second=PAIRS)
def test_sums_of_parts_are_the_sums_of_the_whole(first, second):
    whole, parts = sums(first + second), sums(first) + sums(second)
    assert parts.count == whole.count
    assert (parts.x, parts.xy, parts.yy) == pytest.approx((whole.x, whole.xy, whole.yy))


def test_a_ratio_by_hand():
    # x = 1, 0; y = 1, 1: the ratio is 1/2, x - y/2 is 1/2 and -1/2, whose deviation is sqrt(1/2).
    found = sums([(1, 1), (0, 1)]).ratio()
    assert found is not None
    half = Z95 * 0.5**0.5 / 2**0.5
    assert found == pytest.approx((0.5, 0.5 - half, 0.5 + half))


def test_equal_sides_leave_no_doubt_and_a_single_request_all():
    assert sums([(0.5, 0.5), (1, 1)]).ratio() == pytest.approx((1, 1, 1))
    assert sums([(1, 1)]).ratio() == (1, float("-inf"), float("inf"))


def test_what_cannot_be_divided_has_no_ratio():
    assert Paired().ratio() is None and sums([(1, 0)]).ratio() is None
    assert Paired().difference() is None and Paired().mean is None


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng, held = random.Random(1), 0
    for _ in range(400):
        pairs = [(float(rng.random() < 0.6), float(rng.random() < 0.8)) for _ in range(200)]
        found = sums(pairs).ratio()
        assert found is not None
        held += found[1] <= 0.6 / 0.8 <= found[2]
    assert 0.92 <= held / 400 <= 0.98
