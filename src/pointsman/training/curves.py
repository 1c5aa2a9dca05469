"""Curves: what a need means in one group, measured again on one's own outcomes.

Relative gain is taken to rise evenly with the need, as far as needs are spread like a normal
distribution. How steeply is what the outcomes say, drawn towards the shipped curve's steepness
where they are few.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from pointsman.scorer.heads import Curves
from pointsman.training.metrics import Floats

_STEEPNESS_DEVIATION = 0.3  # of the shipped steepness, before any label is seen
# Never flat: even where outcomes tell nothing, the order of needs is kept.
_STEEPNESS_MIN, _STEEPNESS_MAX = 0.05, 1.5
_KNOTS = 17
_EDGE = 1 / 128  # how far from 0 and 1 the outermost shares are taken to lie
_GAIN_MIN = 0.01  # a mean gain below this says nothing of how gains are spread around it
_PLACES = 6

_deviation = np.vectorize(NormalDist().inv_cdf, otypes=[float])


def measure_curves(shipped: Curves, needs: Floats, gains: Floats) -> Curves:
    """Return the curves of a new need, (n,), of requests that its fit had not seen.

    `gains`: (n,), quality of the strongest tier less that of those below it.
    """
    ranks = (np.argsort(np.argsort(needs, kind="stable"), kind="stable") + 0.5) / len(needs)
    steepness = _steepness(_steepness_of(shipped.spread), _deviation(ranks), gains)
    shares = np.linspace(0.0, 1.0, len(shipped.spread))
    spread = _relative_gains(steepness, shares)
    knots = np.linspace(0.0, 1.0, _KNOTS)
    return Curves(
        relative_gain=_rising(np.quantile(needs, knots), _relative_gains(steepness, knots)),
        spread=tuple(zip(_rounded(shares), _rounded(spread), _rounded(_held(spread)), strict=True)),
    )


def _steepness_of(spread: Sequence[tuple[float, float, float]]) -> float:
    """Return how far the shipped relative gains lie apart: their deviation, at a mean of 1."""
    gains = np.array([gain for _, gain, _ in spread])
    return float(gains.std() / max(float(gains.mean()), _GAIN_MIN))


def _steepness(shipped: float, deviations: Floats, gains: Floats) -> float:
    """Return by how much relative gain rises from one deviation of the need to the next."""
    mean, steepness = float(gains.mean()), shipped
    if mean >= _GAIN_MIN:
        relative = gains / mean - 1.0
        square = float(deviations @ deviations)
        information = square / max(float(relative.var()), _GAIN_MIN)
        found = float(deviations @ relative) / square
        known = 1.0 / _STEEPNESS_DEVIATION**2
        steepness = (known * shipped + information * found) / (known + information)
    return min(max(steepness, _STEEPNESS_MIN), _STEEPNESS_MAX)


def _relative_gains(steepness: float, shares: Floats) -> Floats:
    """Return relative gains >= 0 at these shares, scaled to a mean of 1 over all requests."""
    fine = np.linspace(_EDGE, 1 - _EDGE, 257)
    whole = np.maximum(1.0 + steepness * _deviation(fine), 0.0)
    inside = np.clip(shares, _EDGE, 1 - _EDGE)
    there: Floats = np.maximum(1.0 + steepness * _deviation(inside), 0.0)
    return there / float(whole.mean())


def _held(gains: Floats) -> Floats:
    """Return the share of all gain that the requests up to each point hold, 0 to 1."""
    parts = np.concatenate(([0.0], np.cumsum((gains[1:] + gains[:-1]) / 2)))
    held: Floats = parts / float(parts[-1])
    return held


def _rising(needs: Floats, heights: Floats) -> tuple[tuple[float, float], ...]:
    """Return knots with strictly rising needs; of equal needs the last, which is the highest."""
    knots = dict(zip(_rounded(needs), _rounded(heights), strict=True))
    return tuple(sorted(knots.items()))


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), _PLACES) for value in values]
