"""Qualities: how good each model was in each group, drawn towards what was expected where few say.

A model's mean is taken over the requests that it answered. Twenty imagined answers of the expected
quality are added in every group; what is expected is first moved by how far off it was over all
groups together, so that a group with few labels learns from the others.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pointsman.core.types import Snapshot
from pointsman.scorer.model import Scorer
from pointsman.scorer.standings import place_tiers
from pointsman.scorer.tuning import Measured
from pointsman.training.labels import Labels
from pointsman.training.metrics import Floats

IMAGINED = 20.0
_RELATIVE_GAIN_MIN = 0.25
_PLACES = 6


def measure_models(
    labels: Labels, own_groups: Sequence[str], routed_by: Scorer | None = None
) -> dict[str, dict[str, Measured]]:
    """Return each tier's first model's quality by task group and by the caller's own groups.

    `own_groups` are those of `Features.labels` to measure for themselves. `routed_by`: the scorer
    that chose which model answers what, None where chance or everybody did. A cheap model was then
    asked what suits it; by how much, the scorer's relative gains say, and it is taken off again.
    """
    groups = np.array([reading.group for reading in labels.readings])
    expected = _expected(labels.snapshot, groups)
    easier = _relative_gains(labels, routed_by)
    cells = {name: groups == name for name in sorted(set(groups.tolist()))}
    for own in own_groups:
        cells[own] = np.array([own in features.labels for features in labels.features])
    measured: dict[str, dict[str, Measured]] = {model: {} for model in labels.models}
    for name, inside in cells.items():
        for place in reversed(range(len(labels.models))):  # the strongest first
            known = np.isfinite(labels.quality[:, place])
            rows = known & inside
            if not rows.any():
                continue
            off = (labels.quality[:, place] - expected[:, place])[known]
            shift = float(off.sum()) / (len(off) + IMAGINED)
            mean = float(labels.quality[rows, place].mean())
            best = measured[labels.models[-1]].get(name)
            if best is not None and place < len(labels.models) - 1:
                mean = best.quality - (best.quality - mean) / float(easier[rows].mean())
            prior = float(expected[rows, place].mean()) + shift
            measured[labels.models[place]][name] = _drawn(mean, int(rows.sum()), prior)
    return measured


def _drawn(mean: float, count: int, prior: float) -> Measured:
    """Return the mean of so many labels, drawn towards the prior."""
    quality = (count * mean + IMAGINED * prior) / (count + IMAGINED)
    return Measured(round(min(max(quality, 0.0), 1.0), _PLACES), count)


def _relative_gains(labels: Labels, scorer: Scorer | None) -> Floats:
    """Return how much more than its group each request gains by the strongest tier, (n,)."""
    if scorer is None:
        return np.ones(len(labels))
    gains = np.array([scorer.relative_gain(reading) for reading in labels.readings])
    bounded: Floats = np.maximum(gains, _RELATIVE_GAIN_MIN)
    return bounded


def merged(
    new: Mapping[str, Mapping[str, Measured]], old: Mapping[str, Mapping[str, Measured]]
) -> dict[str, dict[str, Measured]]:
    """Return what is measured now, and what was measured before of all else."""
    return {model: {**old.get(model, {}), **new.get(model, {})} for model in {**old, **new}}


def _expected(snapshot: Snapshot, groups: NDArray[np.str_]) -> Floats:
    """Return what each tier's first model is expected to be worth, (n_requests, n_tiers)."""
    firsts = [tier.deployments[0] for tier in snapshot.tiers]
    standings = place_tiers([(first.id, first.price) for first in firsts])
    rows = [[standing.quality[group] for standing in standings] for group in groups.tolist()]
    return np.array(rows, dtype=float).reshape(-1, len(firsts))
