"""Metrics: how well a score tells which requests are worth the strongest tier.

All of them look at two tiers, the cheapest and the strongest, and send the requests of the highest
score to the strongest first. Where scores are equal their order is taken to be random.

Source: Ong et al., "RouteLLM: Learning to Route LLMs with Preference Data", 2024 (arXiv 2406.18665;
PGR, APGR, CPT); Hu et al., "RouterBench: A Benchmark for Multi-LLM Routing System", 2024 (arXiv
2403.12031; AIQ, the area below the non-decreasing convex hull).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]

RESAMPLES = 500
_SEED = 20_261_123
_TOLERANCE = 1e-12
_INTERVAL = (2.5, 97.5)  # per cent: the middle 95%
_BINS = 10


class Figure(msgspec.Struct, frozen=True):
    """A figure with its 95% bootstrap interval; all None where the data cannot say."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


UNKNOWN = Figure()


@dataclass(frozen=True, slots=True)
class Pair:
    """What the same n requests gave and cost on two tiers: each (n,), qualities 0..1."""

    weak: Floats
    strong: Floats
    weak_cost: Floats
    strong_cost: Floats

    def pick(self, rows: Places) -> "Pair":
        """Return the outcomes of these rows."""
        parts = (self.weak, self.strong, self.weak_cost, self.strong_cost)
        return Pair(*(part[rows] for part in parts))

    @property
    def size(self) -> int:
        """Return how many requests there are."""
        return len(self.weak)


@dataclass(frozen=True, slots=True)
class Curve:
    """Means over all requests as more of them go to the strongest tier; each (n + 1,).

    share: of requests sent there, 0..1, rising.  quality, cost: mean of all requests.
    """

    share: Floats
    quality: Floats
    cost: Floats


def trace(need: Floats, pair: Pair) -> Curve:
    """Return the curve of a score, (n,): the higher, the sooner a request goes to the strongest."""
    n = len(need)
    _, place, counts = np.unique(-need, return_inverse=True, return_counts=True)
    gain = _tie_means(place, counts, pair.strong - pair.weak)
    extra = _tie_means(place, counts, pair.strong_cost - pair.weak_cost)
    return Curve(
        share=np.arange(n + 1) / n,
        quality=pair.weak.mean() + np.concatenate(([0.0], np.cumsum(gain))) / n,
        cost=pair.weak_cost.mean() + np.concatenate(([0.0], np.cumsum(extra))) / n,
    )


def apgr(curve: Curve) -> float:
    """Return the mean share of the quality gap recovered over all shares of calls; random: 0.5.

    nan where the strongest tier is not better than the cheapest.
    """
    return _area(curve.share, _recovered(curve))


def cpt(curve: Curve, recovered: float) -> float:
    """Return the least share of strong calls that recovers a share of the gap; random: that share.

    nan where the strongest tier is not better than the cheapest.
    """
    return _first(curve.share, _recovered(curve), recovered)


def saving(curve: Curve, kept: float) -> float:
    """Return the share of the strongest tier's cost saved at the cheapest point that keeps quality.

    `kept`: share of the strongest tier's quality. The point is found in hindsight, so this bounds
    what a threshold set beforehand can save. nan where the strongest tier is free.
    """
    if curve.cost[-1] <= 0:
        return float("nan")
    cost = _first(curve.cost, curve.quality, kept * float(curve.quality[-1]))
    return 1.0 - cost / float(curve.cost[-1])


def hull_area(curve: Curve) -> float:
    """Return mean quality below the non-decreasing convex hull of cost and quality (AIQ).

    nan where the strongest tier does not cost more than the cheapest.
    """
    width = curve.cost[-1] - curve.cost[0]
    if width <= 0:
        return float("nan")
    corners: list[tuple[float, float]] = []
    for x, y in sorted(zip((curve.cost - curve.cost[0]) / width, curve.quality, strict=True)):
        if corners and y <= corners[-1][1]:
            continue
        while len(corners) >= 2 and _is_below(corners[-1], corners[-2], (x, y)):
            corners.pop()
        corners.append((float(x), float(y)))
    corners.append((1.0, corners[-1][1]))
    return _area(np.array([x for x, _ in corners]), np.array([y for _, y in corners]))


def rank_figures(need: Floats, pair: Pair) -> dict[str, float]:
    """Return all that is said of a ranking, by name."""
    curve = trace(need, pair)
    return {
        "apgr": apgr(curve),
        "cpt50": cpt(curve, 0.5),
        "cpt80": cpt(curve, 0.8),
        "saving95": saving(curve, 0.95),
        "saving99": saving(curve, 0.99),
        "aiq": hull_area(curve),
    }


def calibration_error(predicted: Floats, measured: Floats) -> float:
    """Return the expected calibration error, 0..1, over ten bins of equally many predictions.

    Predictions that are equal share a bin. Source: Naeini, Cooper and Hauskrecht, "Obtaining Well
    Calibrated Probabilities Using Bayesian Binning", AAAI 2015 (ECE; there bins of equal width).
    """
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, _BINS + 1)[1:-1]))
    places = np.searchsorted(edges, predicted, side="left")
    counts = np.bincount(places)
    off = np.bincount(places, predicted - measured)
    return float(np.abs(off[counts > 0]).sum() / len(predicted))


def with_intervals(
    figures: Callable[[Places], Mapping[str, float]], n: int, resamples: int = RESAMPLES
) -> dict[str, Figure]:
    """Return figures over n requests with their percentile bootstrap intervals.

    `figures` works them out for the rows it is given. The draws are the same every time.
    """
    drawn = draws(figures, n, resamples)
    whole = figures(np.arange(n))
    return {name: as_figure(value, drawn[name]) for name, value in whole.items()}


def draws(
    figures: Callable[[Places], Mapping[str, float]], n: int, resamples: int = RESAMPLES
) -> dict[str, Floats]:
    """Return each figure over draws of n of n requests with replacement, (resamples,)."""
    rng = np.random.default_rng(_SEED)
    drawn = [figures(rng.integers(0, n, n)) for _ in range(resamples)]
    return {name: np.array([draw[name] for draw in drawn]) for name in drawn[0]}


def as_figure(value: float, drawn: Floats) -> Figure:
    """Return a figure with the interval of its draws, (resamples,)."""
    known = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(known):
        return UNKNOWN
    low, high = np.percentile(known, _INTERVAL)
    return Figure(round(float(value), 6), round(float(low), 6), round(float(high), 6))


def _tie_means(place: Places, counts: Places, values: Floats) -> Floats:
    """Return the values in order of their places, each as the mean of those that share its place.

    That is what a random order among equals is expected to give.
    """
    means: Floats = np.repeat(np.bincount(place, values) / counts, counts)
    return means


def _recovered(curve: Curve) -> Floats:
    gap = curve.quality[-1] - curve.quality[0]
    if gap <= _TOLERANCE:
        return np.full_like(curve.quality, np.nan)
    recovered: Floats = (curve.quality - curve.quality[0]) / gap
    return recovered


def _first(x: Floats, y: Floats, wanted: float) -> float:
    """Return the first x at which straight lines through the points reach `wanted`, else nan."""
    reached = np.flatnonzero(y >= wanted - _TOLERANCE)
    if not len(reached):
        return float("nan")
    at = int(reached[0])
    if at == 0 or y[at] == y[at - 1]:
        return float(x[at])
    part = (wanted - y[at - 1]) / (y[at] - y[at - 1])
    return float(x[at - 1] + part * (x[at] - x[at - 1]))


def _area(x: Floats, y: Floats) -> float:
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)))


def _is_below(
    middle: tuple[float, float], before: tuple[float, float], after: tuple[float, float]
) -> bool:
    """Return whether a point lies on or below the line from the one before to the one after."""
    rise = (middle[1] - before[1]) * (after[0] - before[0])
    return rise <= (after[1] - before[1]) * (middle[0] - before[0])
