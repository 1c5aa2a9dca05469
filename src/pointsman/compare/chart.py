"""Chart: quality against cost where there are labels, else bars, in a PNG or SVG file."""

from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.compare.chart_file import check_chart, figure_class, save_chart
from pointsman.compare.comparison import Comparison, StrategyRow
from pointsman.compare.curve import draw_curve, drawable
from pointsman.core.prices import format_usd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

_WIDTH_IN, _ROW_IN, _FRAME_IN = 10.0, 0.42, 2.0
_PLAIN_COLOUR, _CACHE_COLOUR = "#4878a8", "#7fb3a6"
_INK = "#222222"
_HATCH = "///"
# How much longer than the longest bar an axis is: the figures beside it need room.
_COST_ROOM, _LATENCY_ROOM = 1.3, 1.7


def write_chart(comparison: Comparison, path: Path) -> None:
    """Draw the chart; the file is either whole or not touched.

    Raises ConfigError when the name, the folder or matplotlib is not as it must be.
    """
    check_chart(path)
    save_chart(draw(comparison), path)


def draw(comparison: Comparison) -> "Figure":
    """Return the chart: the cost-quality curve where there are labels.

    Else bars: cost at the left and, where any is known, latency at the right.
    """
    rows = comparison.rows
    if drawable(comparison):
        curve = figure_class()()
        draw_curve(curve, comparison)
        return curve
    has_latency = any(row.latency_mean_ms is not None for row in rows)
    figure = figure_class()(figsize=(_WIDTH_IN, _FRAME_IN + _ROW_IN * len(rows)))
    figure.set_layout_engine("constrained", wspace=0.06)
    count = comparison.log.compared
    figure.suptitle(
        f"What {count:,} request{'' if count == 1 else 's'} would have cost, by strategy\n"
        f"(percentages of {comparison.baseline}; quality: {comparison.quality_note})",
        fontsize=12,
        color=_INK,
    )
    if has_latency:
        costs, latencies = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        _draw_latencies(latencies, comparison)
    else:
        costs = figure.subplots()
    _draw_costs(costs, comparison)
    _add_legend(figure, comparison)
    return figure


def _draw_costs(axes: "Axes", comparison: Comparison) -> None:
    usd = [(row.cost_nanousd or 0) / 1e9 for row in comparison.rows]
    words = [_cost_words(row, comparison) for row in comparison.rows]
    estimated = [row.is_cost_estimated for row in comparison.rows]
    _draw_bars(axes, comparison, usd, words, estimated, room=_COST_ROOM)
    axes.xaxis.set_major_formatter(lambda value, _: format_usd(round(value * 1e9)))
    axes.set_yticks(range(len(usd)), [row.strategy for row in comparison.rows])
    axes.set_xlabel("total cost (USD)")
    axes.invert_yaxis()  # shared with the latencies: the first row stands on top


def _draw_latencies(axes: "Axes", comparison: Comparison) -> None:
    rows = comparison.rows
    means = [(row.latency_mean_ms or 0) / 1e3 for row in rows]
    words = [_latency_words(row) for row in rows]
    estimated = [row.is_latency_estimated for row in rows]
    _draw_bars(axes, comparison, means, words, estimated, room=_LATENCY_ROOM)
    axes.set_xlabel("mean latency (s)")
    axes.tick_params(labelleft=False)


def _draw_bars(
    axes: "Axes",
    comparison: Comparison,
    values: list[float],
    words: list[str],
    estimated: list[bool],
    *,
    room: float,
) -> None:
    places = range(len(values))
    colours = [_CACHE_COLOUR if row.has_cache else _PLAIN_COLOUR for row in comparison.rows]
    bars = axes.barh(places, values, height=0.66, color=colours, edgecolor="white", linewidth=0)
    for bar, is_estimated in zip(bars, estimated, strict=True):
        if is_estimated:
            bar.set_hatch(_HATCH)
    largest = max(values, default=0.0) or 1.0
    axes.set_xlim(0, largest * room)
    for place, value, text in zip(places, values, words, strict=True):
        label = axes.annotate(
            text,
            (value, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=_INK,
        )
        # White behind, so that no line of the grid strikes the figures through.
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.6})
    axes.xaxis.set_major_locator(_few_ticks())
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _few_ticks() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10])


def _cost_words(row: StrategyRow, comparison: Comparison) -> str:
    if row.cost_nanousd is None:
        return "not known"
    mark = "~" if row.is_cost_estimated else ""
    text = f"{mark}{format_usd(row.cost_nanousd)}"
    if row.cost_share is None or row.strategy == comparison.baseline:
        return text
    return f"{text}  ({row.cost_share:.0%})"


def _latency_words(row: StrategyRow) -> str:
    if row.latency_mean_ms is None or row.latency_p95_ms is None:
        return "not known"
    mark = "~" if row.is_latency_estimated else ""
    return f"{mark}{row.latency_mean_ms / 1e3:.2f}  (p95 {row.latency_p95_ms / 1e3:.2f})"


def _add_legend(figure: "Figure", comparison: Comparison) -> None:
    from matplotlib.patches import Patch

    rows = comparison.rows
    handles = []
    if any(not row.has_cache for row in rows):
        handles.append(Patch(facecolor=_PLAIN_COLOUR, label="without cache"))
    if any(row.has_cache for row in rows):
        handles.append(Patch(facecolor=_CACHE_COLOUR, label="with cache"))
    if any(row.is_cost_estimated or row.is_latency_estimated for row in rows):
        hatched = Patch(facecolor="#bbbbbb", edgecolor="white", hatch=_HATCH, linewidth=0)
        hatched.set_label("estimated (~), wholly or in part")
        handles.append(hatched)
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=9)
