"""Qualities: how good each model was in each group, drawn towards what was expected where few say.

A model's mean is taken over the requests that it answered. Twenty imagined answers of the expected
quality are added in every group; what is expected is first moved by how far off it was over all
groups together, so that a group with few labels learns from the others.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pointsman.core.types import Snapshot
from pointsman.scorer.standings import place_tiers
from pointsman.scorer.tuning import Measured
from pointsman.training.labels import Labels
from pointsman.training.metrics import Floats

IMAGINED = 20.0


def measure_models(labels: Labels, own_groups: Sequence[str]) -> dict[str, dict[str, Measured]]:
    """Return each tier's first model's quality by task group and by the caller's own groups.

    `own_groups` are those of `Features.labels` to measure for themselves.
    """
    groups = np.array([reading.group for reading in labels.readings])
    expected = _expected(labels.snapshot, groups)
    cells = {name: groups == name for name in sorted(set(groups.tolist()))}
    for own in own_groups:
        cells[own] = np.array([own in features.labels for features in labels.features])
    measured: dict[str, dict[str, Measured]] = {}
    for place, model in enumerate(labels.models):
        known = np.isfinite(labels.quality[:, place])
        off = labels.quality[:, place] - expected[:, place]
        shift = off[known].sum() / (known.sum() + IMAGINED)
        by_group = measured.setdefault(model, {})
        for name, inside in cells.items():
            rows = known & inside
            if count := int(rows.sum()):
                prior = float(expected[rows, place].mean() + shift)
                total = float(labels.quality[rows, place].sum()) + IMAGINED * prior
                quality = min(max(total / (count + IMAGINED), 0.0), 1.0)
                by_group[name] = Measured(round(quality, 6), count)
    return measured


def merged(
    new: Mapping[str, Mapping[str, Measured]], old: Mapping[str, Mapping[str, Measured]]
) -> dict[str, dict[str, Measured]]:
    """Return what is measured now, and of what was measured before the models not seen now."""
    kept = {model: dict(groups) for model, groups in old.items() if model not in new}
    return {**kept, **{model: dict(groups) for model, groups in new.items()}}


def _expected(snapshot: Snapshot, groups: NDArray[np.str_]) -> Floats:
    """Return what each tier's first model is expected to be worth, (n_requests, n_tiers)."""
    firsts = [tier.deployments[0] for tier in snapshot.tiers]
    standings = place_tiers([(first.id, first.price) for first in firsts])
    rows = [[standing.quality[group] for standing in standings] for group in groups.tolist()]
    return np.array(rows, dtype=float).reshape(-1, len(firsts))
