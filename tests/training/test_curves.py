"""Curves: relative gain measured again on outcomes, in the shape of the shipped curves."""

import numpy as np
import pytest

from pointsman.scorer.model import interpolate, shipped
from pointsman.training.curves import measure_curves

SHIPPED = shipped().heads["chat"].rules.curves


def outcomes(n: int, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Return needs 0..1 and gains of 0 or 1 whose chance is 0.4 in the middle, as steep as told."""
    needs = (np.arange(n) + 0.5) / n
    chance = 0.4 + slope * (needs - 0.5)
    return needs, (np.random.default_rng(5).random(n) < chance).astype(float)


def test_relative_gain_rises_and_has_a_mean_of_one():
    needs, gains = outcomes(4_000, 0.4)
    curves = measure_curves(SHIPPED, needs, gains)
    heights = [height for _, height in curves.relative_gain]
    assert heights == sorted(heights)
    assert [need for need, _ in curves.relative_gain] == sorted(
        {n for n, _ in curves.relative_gain}
    )
    mean = np.mean([interpolate(curves.relative_gain, need) for need in needs])
    assert mean == pytest.approx(1, abs=0.03)


def test_the_spread_rises_to_all_of_the_gain():
    needs, gains = outcomes(500, 0.4)
    spread = measure_curves(SHIPPED, needs, gains).spread
    shares, heights, held = zip(*spread, strict=True)
    assert (shares[0], held[0], shares[-1], held[-1]) == (0, 0, 1, 1)
    assert list(heights) == sorted(heights) and list(held) == sorted(held)


def test_outcomes_say_how_steep_a_curve_is():
    steep = measure_curves(SHIPPED, *outcomes(4_000, 0.7))
    flat = measure_curves(SHIPPED, *outcomes(4_000, 0.05))
    assert steep.spread[-1][1] > 1.3 * flat.spread[-1][1]
    assert steep.spread[0][1] < flat.spread[0][1]


def test_few_outcomes_leave_a_curve_about_as_steep_as_the_shipped_one():
    few = measure_curves(SHIPPED, *outcomes(12, 0.0))
    many = measure_curves(SHIPPED, *outcomes(12_000, 0.7))
    heights = [height for _, height, _ in SHIPPED.spread]
    shipped = np.std(heights) / np.mean(heights)
    found = [np.std([height for _, height, _ in it.spread]) for it in (few, many)]
    assert abs(found[0] - shipped) < 0.25 < found[1]


def test_a_curve_is_never_flat_below_its_middle():
    for curves in (measure_curves(SHIPPED, *outcomes(50, slope)) for slope in (-0.5, 0.0)):
        heights = [height for _, height in curves.relative_gain]
        assert len(set(heights)) == len(heights)


def test_gains_that_come_to_nothing_leave_the_shape():
    needs = np.linspace(0, 1, 50)
    none, worse = measure_curves(SHIPPED, needs, np.zeros(50)), -np.ones(50)
    assert none == measure_curves(SHIPPED, needs, worse)
    assert none.spread[-1][1] > 1
