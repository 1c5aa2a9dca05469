"""Curves: what a need means in one group, measured again on one's own outcomes.

The shape of the shipped curves is kept, need by need in order; how steep they are is what the
outcomes say, drawn towards the shipped steepness where they are few.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pointsman.scorer.heads import Curves
from pointsman.training.metrics import Floats

_STEEPNESS_DEVIATION = 0.3  # of the shipped curves' steepness, before any label is seen
_STEEPNESS_MIN, _STEEPNESS_MAX = 0.1, 2.5
_KNOTS = 17
_GAIN_MIN = 0.01  # a mean gain below this says nothing of how gains are spread around it
_PLACES = 6


@dataclass(frozen=True, slots=True)
class _Shape:
    """Relative gain by the share of requests below, as shipped: both rising."""

    shares: Floats
    gains: Floats

    def at(self, shares: Floats) -> Floats:
        found: Floats = np.interp(shares, self.shares, self.gains)
        return found


def measure_curves(shipped: Curves, needs: Floats, gains: Floats) -> Curves:
    """Return the curves of a new need, (n,), of requests that its fit had not seen.

    `gains`: (n,), quality of the strongest tier less that of those below it.
    """
    shape = _shape(shipped.spread)
    ranks = (np.argsort(np.argsort(needs, kind="stable"), kind="stable") + 0.5) / len(needs)
    steepness = _steepness(shape.at(ranks) - 1.0, gains)
    shares = np.linspace(0.0, 1.0, len(shipped.spread))
    spread = _steepened(shape, steepness, shares)
    knots = np.linspace(0.0, 1.0, _KNOTS)
    heights = _steepened(shape, steepness, knots)
    return Curves(
        relative_gain=_rising(np.quantile(needs, knots), heights),
        spread=tuple(zip(_rounded(shares), _rounded(spread), _rounded(_held(spread)), strict=True)),
    )


def _shape(spread: Sequence[tuple[float, float, float]]) -> _Shape:
    """Return the shipped spread with a mean of 1."""
    shares = np.array([share for share, _, _ in spread])
    gains = np.array([gain for _, gain, _ in spread])
    return _Shape(shares, gains / max(float(np.trapezoid(gains, shares)), _GAIN_MIN))


def _steepness(expected: Floats, gains: Floats) -> float:
    """Return by what to multiply the shipped relative gains' distance from 1."""
    mean = float(gains.mean())
    if mean < _GAIN_MIN:
        return 1.0
    relative = gains / mean - 1.0
    information = float(expected @ expected) / max(float(relative.var()), _GAIN_MIN)
    found = float(expected @ relative) / max(float(expected @ expected), _GAIN_MIN)
    known = 1.0 / _STEEPNESS_DEVIATION**2
    steepness = (known + information * found) / (known + information)
    return min(max(steepness, _STEEPNESS_MIN), _STEEPNESS_MAX)


def _steepened(shape: _Shape, steepness: float, shares: Floats) -> Floats:
    """Return relative gains >= 0 at these shares, scaled to a mean of 1 over all requests."""
    fine = np.linspace(0.0, 1.0, 513)
    whole = np.maximum(1.0 + steepness * (shape.at(fine) - 1.0), 0.0)
    there: Floats = np.maximum(1.0 + steepness * (shape.at(shares) - 1.0), 0.0)
    return there / max(float(np.trapezoid(whole, fine)), _GAIN_MIN)


def _held(gains: Floats) -> Floats:
    """Return the share of all gain that the requests up to each point hold, 0 to 1."""
    parts = np.concatenate(([0.0], np.cumsum((gains[1:] + gains[:-1]) / 2)))
    held: Floats = parts / max(float(parts[-1]), _GAIN_MIN)
    return held


def _rising(needs: Floats, heights: Floats) -> tuple[tuple[float, float], ...]:
    """Return knots with strictly rising needs; of equal needs the last, which is the highest."""
    knots = dict(zip(_rounded(needs), _rounded(heights), strict=True))
    return tuple(sorted(knots.items()))


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), _PLACES) for value in values]
