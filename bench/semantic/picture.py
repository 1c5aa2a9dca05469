"""Picture: how many prompts each policy answers, and how many of its answers are wrong."""

from collections.abc import Sequence
from pathlib import Path

from bench.semantic.report import Stream
from bench.speed.picture import GRID, INK, OWN_COLOUR, PEER_COLOUR
from matplotlib.axes import Axes

from pointsman.compare.chart_file import figure_class, save_chart

_COLUMNS = 3
_COSINE = "cosine ≥ "
_WRONG_MAX = 0.4


def draw(streams: Sequence[Stream], path: Path) -> None:
    """Draw a panel for each stream: hits upwards, wrong answers to the right."""
    rows = -(-len(streams) // _COLUMNS)
    figure = figure_class()(figsize=(10.5, 0.7 + 3.1 * rows))
    figure.set_layout_engine("constrained")
    figure.suptitle("Answered from the cache, and wrongly (left and high is good)", color=INK)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes, stream in zip(grid, streams, strict=False):
        _panel(axes, stream)
    for axes in list(grid)[len(streams) :]:
        axes.set_axis_off()
    save_chart(figure, path)


def _panel(axes: Axes, stream: Stream) -> None:
    likeness = {n: found for n, found in stream.replays.items() if n.startswith(_COSINE)}
    others = {n: found for n, found in stream.replays.items() if n not in likeness}
    axes.axhline(stream.ceiling, color=GRID, linestyle="--", linewidth=1)
    axes.plot(
        [found.false_per_hit for found in likeness.values()],
        [found.hit_share for found in likeness.values()],
        marker="o", color=PEER_COLOUR, linewidth=1,
    )  # fmt: skip
    for name, found in likeness.items():
        _name(axes, f"≥ {name.removeprefix(_COSINE)}", found.false_per_hit, found.hit_share)
    for name, found in others.items():
        axes.plot(found.false_per_hit, found.hit_share, marker="s", color=OWN_COLOUR)
        _name(axes, name, found.false_per_hit, found.hit_share)
    axes.set_xlim(-0.01, _WRONG_MAX)
    axes.set_ylim(-0.03, 1.0)
    axes.set_title(stream.name, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("wrong per hit", fontsize=9)
    axes.set_ylabel("share of prompts answered", fontsize=9)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _name(axes: Axes, name: str, right: float, up: float) -> None:
    axes.annotate(
        name, (right, up), xytext=(6, -3), textcoords="offset points", fontsize=8, color=INK
    )
