"""Evaluation chart: quality against cost, for every ranking, random and each model alone."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pointsman.compare.chart_file import figure_class, save_chart
from pointsman.training.evaluation import Evaluated
from pointsman.training.metrics import Floats, Places, draws, trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_SHARES = np.linspace(0.0, 1.0, 61)
_RESAMPLES = 200
_USD = 1e9
_PER = 1_000  # requests that costs are shown for
_COLOURS = ("#2f6db3", "#c4622d", "#5b9a5b", "#8a5fa8", "#8c8c3a", "#4aa3a3")
_LENGTH_COLOUR, _INK, _GREY = "#999999", "#222222", "#777777"


def write_chart(evaluated: Evaluated, path: Path) -> None:
    """Draw the chart; the file is either whole or not touched. Raises ConfigError."""
    save_chart(draw(evaluated), path)


def draw(evaluated: Evaluated) -> "Drawing":
    """Return the chart."""
    drawing = figure_class()(figsize=(8.5, 5.6))
    drawing.set_layout_engine("constrained")
    axes = drawing.subplots()
    for place, (name, need) in enumerate(evaluated.needs.items()):
        is_length = place == len(evaluated.needs) - 1
        colour = _LENGTH_COLOUR if is_length else _COLOURS[place % len(_COLOURS)]
        _draw_curve(axes, evaluated, need, name, colour)
    _draw_random(axes, evaluated)
    _draw_points(axes, evaluated)
    count = evaluated.evaluation.labels
    axes.set_title(
        f"Quality against cost on {count:,} labelled requests\n"
        "(curves: cheapest and strongest tier, in hindsight; bands: 95% bootstrap intervals)",
        fontsize=12,
        color=_INK,
    )
    axes.set_xlabel(f"cost of {_PER:,} requests (USD)")
    axes.set_ylabel("mean quality")
    axes.grid(color="#e2e2e2", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    return drawing


def _draw_curve(axes: "Axes", evaluated: Evaluated, need: Floats, name: str, colour: str) -> None:
    """Draw one ranking's curve, with the interval of quality at each share of strong calls."""
    pair = evaluated.labels.pair()
    curve = trace(need, pair)
    cost = np.interp(_SHARES, curve.share, curve.cost) / _USD * _PER

    def figures(rows: Places) -> dict[str, float]:
        drawn = trace(need[rows], pair.pick(rows))
        return dict(enumerate_names(np.interp(_SHARES, drawn.share, drawn.quality)))

    found = draws(figures, len(need), _RESAMPLES)
    low, high = np.percentile(np.array(list(found.values())), (2.5, 97.5), axis=1)
    axes.fill_between(cost, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        cost, np.interp(_SHARES, curve.share, curve.quality), color=colour, label=name, linewidth=2
    )


def enumerate_names(values: Floats) -> list[tuple[str, float]]:
    """Return the values named by their places."""
    return [(str(place), float(value)) for place, value in enumerate(values)]


def _draw_random(axes: "Axes", evaluated: Evaluated) -> None:
    pair = evaluated.labels.pair()
    cost = np.array([pair.weak_cost.mean(), pair.strong_cost.mean()]) / _USD * _PER
    quality = [float(pair.weak.mean()), float(pair.strong.mean())]
    axes.plot(cost, quality, color=_GREY, linestyle="--", linewidth=1.2, label="random")


def _draw_points(axes: "Axes", evaluated: Evaluated) -> None:
    """Draw each tier's model alone, and where each policy that picks tiers itself comes out."""
    labels = evaluated.labels
    for place, model in enumerate(labels.models):
        cost = float(labels.cost[:, place].mean()) / _USD * _PER
        quality = float(labels.quality[:, place].mean())
        axes.plot(cost, quality, marker="o", color=_INK, markersize=6, linestyle="")
        _annotate(axes, model, cost, quality)
    for score in evaluated.evaluation.scores:
        is_alone = score.policy.startswith("fixed:")
        if is_alone or score.cost_usd.value is None or score.quality.value is None:
            continue
        cost, quality = score.cost_usd.value * _PER, score.quality.value
        axes.plot(cost, quality, marker="D", color=_INK, markersize=5, linestyle="")
        _annotate(axes, f"{score.policy}, as it routes", cost, quality)


def _annotate(axes: "Axes", text: str, cost: float, quality: float) -> None:
    is_right = cost > 0.6 * axes.get_xlim()[1]
    axes.annotate(
        text,
        (cost, quality),
        xytext=(-6 if is_right else 6, 7),
        textcoords="offset points",
        ha="right" if is_right else "left",
        fontsize=8.5,
        color=_INK,
    )
