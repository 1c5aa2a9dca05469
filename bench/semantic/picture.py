"""Picture: how many prompts each policy answers, and how many of its answers are wrong."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.semantic.report import Stream
from bench.semantic.streams import Replayed
from bench.speed.picture import GRID, INK, LIMIT_COLOUR, OWN_COLOUR, PEER_COLOUR
from matplotlib.axes import Axes

from pointsman.compare.chart_file import figure_class, save_chart

_COLUMNS = 3
_COSINE = "cosine "
_WRONG_MAX = 1.0
_ROOM_FOR_NAMES = 0.36
_NAME_HEIGHT = 0.07


def draw(streams: Sequence[Stream], path: Path) -> None:
    """Draw a panel for each stream: hits upwards, wrong answers to the right."""
    rows = -(-len(streams) // _COLUMNS)
    figure = figure_class()(figsize=(10.5, 0.7 + 3.1 * rows))
    figure.set_layout_engine("constrained")
    figure.suptitle(
        "Prompts answered from the cache, and how many of the answers are wrong\n"
        "left and high is good; dashed: prompts whose answer has come before",
        color=INK, fontsize=11,
    )  # fmt: skip
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes, stream in zip(grid, streams, strict=False):
        _panel(axes, stream)
    for axes in list(grid)[len(streams) :]:
        axes.set_axis_off()
    save_chart(figure, path)


def _panel(axes: Axes, stream: Stream) -> None:
    likeness = {n: found for n, found in stream.replays.items() if n.startswith(_COSINE)}
    others = {n: found for n, found in stream.replays.items() if n not in likeness}
    axes.axhline(stream.ceiling, color=LIMIT_COLOUR, linestyle="--", linewidth=1)
    axes.plot(
        [found.false_per_hit for found in likeness.values()],
        [found.hit_share for found in likeness.values()],
        marker="o", color=PEER_COLOUR, linewidth=1,
    )  # fmt: skip
    for found in others.values():
        axes.plot(found.false_per_hit, found.hit_share, marker="s", color=OWN_COLOUR)
    _name(axes, {n.removeprefix(_COSINE): found for n, found in likeness.items()}, is_left=False)
    _name(axes, others, is_left=True)
    axes.set_xlim(-_ROOM_FOR_NAMES, _WRONG_MAX)
    axes.set_xticks([tick / 5 for tick in range(6)])
    axes.set_ylim(-0.03, 1.03)
    axes.set_title(stream.name, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("wrong per hit", fontsize=9)
    axes.set_ylabel("share of prompts answered", fontsize=9)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _name(axes: Axes, points: Mapping[str, Replayed], *, is_left: bool) -> None:
    """Write each point's name beside it, from below upwards, none over another."""
    free = -1.0
    for name, found in sorted(points.items(), key=lambda item: item[1].hit_share):
        free = max(found.hit_share, free)
        axes.annotate(
            name, (found.false_per_hit, free), xytext=(-6 if is_left else 6, -3),
            textcoords="offset points", ha="right" if is_left else "left", fontsize=8, color=INK,
        )  # fmt: skip
        free += _NAME_HEIGHT
