"""Deciding: what a policy makes of labelled requests, by the production `decide`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pointsman.core.decision import Policy, Target, decide
from pointsman.core.filters import capable
from pointsman.core.types import Decision
from pointsman.training.labels import Labels
from pointsman.training.metrics import Figure, Floats, Places, with_intervals

Tick: TypeAlias = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a policy sends n requests.

    places: (n,), the tier's place, 0 the cheapest.  predicted: (n, n_tiers), the policy's scores;
    None where it gives no graded ones.
    """

    places: Places
    predicted: Floats | None

    @property
    def need(self) -> Floats | None:
        """Return by how much the strongest tier is ahead of the cheapest, (n,): what ranks."""
        return None if self.predicted is None else self.predicted[:, -1] - self.predicted[:, 0]


def servable(labels: Labels) -> Labels:
    """Return the labels that every tier can serve: where one cannot, less is to be decided."""
    tiers = labels.snapshot.tiers
    rows = [row for row, it in enumerate(labels.features) if not capable(it, tiers)[1]]
    return labels if len(rows) == len(labels) else labels.pick(np.array(rows, dtype=np.intp))


def route(labels: Labels, policy: Policy, tick: Tick = lambda: None) -> Routed:
    """Return what a policy decides of labels that every tier can serve."""
    names = labels.snapshot.names
    decisions: list[Decision] = []
    for features in labels.features:
        decisions.append(decide(features, Target(), labels.snapshot, policy))
        tick()
    places = np.array([names.index(decision.tier) for decision in decisions], dtype=np.intp)
    return Routed(places, _predicted(decisions, names))


def outcome_figures(labels: Labels, places: Places) -> dict[str, Figure]:
    """Return what labels with every outcome known come to when sent to these tiers.

    `quality` and `cost_usd` are means of a request; `quality_kept` is a share of the strongest
    tier's quality, `saving` of its cost; `share_down` of the requests leave the strongest tier.
    """
    rows = np.arange(len(labels))
    quality, cost = labels.quality[rows, places], labels.cost[rows, places] / 1e9
    strongest, dearest = labels.quality[:, -1], labels.cost[:, -1] / 1e9
    down = places < len(labels.snapshot.tiers) - 1

    def figures(drawn: Places) -> dict[str, float]:
        best, most = float(strongest[drawn].mean()), float(dearest[drawn].mean())
        mean_quality, mean_cost = float(quality[drawn].mean()), float(cost[drawn].mean())
        return {
            "quality": mean_quality,
            "cost_usd": mean_cost,
            "quality_kept": mean_quality / best if best else float("nan"),
            "saving": 1.0 - mean_cost / most if most else float("nan"),
            "share_down": float(down[drawn].mean()),
        }

    return with_intervals(figures, len(labels))


def _predicted(decisions: list[Decision], names: tuple[str, ...]) -> Floats | None:
    """Return the policy's scores where it grades: one a tier, and not all of them 0 or 1."""
    scores = [[decision.scores.get(name, np.nan) for name in names] for decision in decisions]
    table = np.array(scores, dtype=float).reshape(-1, len(names))
    is_graded = np.isfinite(table).all() and not np.isin(table, (0.0, 1.0)).all()
    return table if is_graded else None
