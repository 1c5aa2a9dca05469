"""Curve: quality against cost, a point with its interval for every strategy, on labelled data."""

from typing import TYPE_CHECKING

from pointsman.compare.comparison import Comparison, StrategyRow
from pointsman.compare.strategies import CASCADE, FIXED, ORACLE, SINGLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_IN = (10.0, 6.2)
# How many lines and characters of a name the plot has room for, and how high it is, in points.
_LINES, _CHARS, _PLOT_POINTS = 26, 105, 370.0
_INK, _FAINT = "#222222", "#bbbbbb"
# What a strategy knows of a request gives its colour: nothing, the request, or its outcomes too.
_COLOURS = {"fixed": "#6b6b6b", "even": "#c58b2a", "policy": "#2f6fab", "outcome": "#3d8f6b"}
_LEGEND = {
    "fixed": "one model for all",
    "even": "same cost, no model of the request",
    "policy": "routing",
    "outcome": "knows drafts or outcomes",
}
_MARKERS = {"fixed": "s", "even": "D", "policy": "o", "outcome": "^"}


def drawable(comparison: Comparison) -> list[StrategyRow]:
    """Return the rows that have a place on the curve: those of a known cost and quality."""
    return [
        row
        for row in comparison.rows
        if row.cost_share is not None and row.quality is not None and not row.has_cache
    ]


def draw_curve(figure: "Figure", comparison: Comparison) -> None:
    """Draw the curve into an empty figure. `drawable` has rows."""
    figure.set_size_inches(*_SIZE_IN)
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    rows = drawable(comparison)
    axes.margins(x=0.08, y=0.12)
    _draw_chance(axes, rows)
    for row in rows:
        _draw_point(axes, row)
    _name_points(axes, rows)
    count = comparison.log.labelled
    figure.suptitle(
        f"Quality and cost of {count:,} labelled request{'' if count == 1 else 's'}, by strategy",
        fontsize=12,
        color=_INK,
    )
    axes.set_xlabel(f"cost, % of {comparison.baseline}")
    axes.set_ylabel("quality, mean of the labels (bars: 95% interval)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}%")
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(
        handles=_legend(rows), loc="outside lower left", ncols=3, frameon=False, fontsize=9
    )


def _kind(row: StrategyRow) -> str:
    if row.is_at_equal_cost:
        return "even"
    if row.policy in (CASCADE, ORACLE):
        return "outcome"
    return "fixed" if row.policy.startswith((FIXED, SINGLE)) else "policy"


def _place(row: StrategyRow) -> tuple[float, float]:
    assert row.cost_share is not None and row.quality is not None, "chosen by drawable"
    return 100 * row.cost_share, row.quality


def _hull(rows: list[StrategyRow]) -> list[tuple[float, float]]:
    """Return the best that chance between two tiers gives: the corners of the upper hull.

    Cost rises from corner to corner; none where fewer than two tiers are shown.
    """
    tiers = sorted({_place(row) for row in rows if row.policy.startswith(FIXED)})
    corners: list[tuple[float, float]] = []
    for place in tiers:
        while len(corners) > 1 and not _is_above(corners[-1], corners[-2], place):
            corners.pop()
        corners.append(place)
    return corners if len(corners) > 1 else []


def _is_above(
    middle: tuple[float, float], left: tuple[float, float], right: tuple[float, float]
) -> bool:
    """Return whether a point lies above the straight line from `left` to `right`."""
    (x0, y0), (x, y), (x1, y1) = left, middle, right
    return (y - y0) * (x1 - x0) > (y1 - y0) * (x - x0)


def _draw_chance(axes: "Axes", rows: list[StrategyRow]) -> None:
    """Draw what chance between the tiers gives: straight lines."""
    corners = _hull(rows)
    if corners:
        costs, qualities = zip(*corners, strict=True)
        axes.plot(costs, qualities, color=_FAINT, linewidth=1.4, linestyle="--", zorder=1)


def _draw_point(axes: "Axes", row: StrategyRow) -> None:
    x, y = _place(row)
    error = None
    if row.quality_interval and row.quality_share:
        # The interval is of the share of the baseline's quality: scaled to the axis.
        low, high = (bound * y / row.quality_share for bound in row.quality_interval)
        error = [[y - low], [high - y]]
    kind = _kind(row)
    axes.errorbar(
        [x],
        [y],
        yerr=error,
        fmt=_MARKERS[kind],
        color=_COLOURS[kind],
        markersize=7,
        capsize=3,
        linewidth=1.2,
        zorder=3,
    )


def _name_points(axes: "Axes", rows: list[StrategyRow]) -> None:
    """Write each name beside its point, one name for points at one place, none over another."""
    places: dict[tuple[float, float], list[str]] = {}
    for row in rows:
        x, y = _place(row)
        places.setdefault((round(x, 1), round(y, 4)), []).append(row.strategy)
    free = _Room(axes.get_xlim(), axes.get_ylim(), [*places])
    for (x, y), names in sorted(places.items(), key=lambda place: (-place[0][1], place[0][0])):
        text = ", ".join(names)
        is_left, up = free.take(x, y, len(text))
        axes.annotate(
            text,
            (x, y),
            xytext=(-10 if is_left else 10, up * _PLOT_POINTS / _LINES),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="center",
            fontsize=9,
            color=_INK,
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.8},
            arrowprops={"arrowstyle": "-", "color": _FAINT, "linewidth": 0.8} if up else None,
        )


class _Room:
    """Where points and names stand already, in the units of the axes."""

    def __init__(
        self,
        across: tuple[float, float],
        along: tuple[float, float],
        points: list[tuple[float, float]],
    ) -> None:
        self._left, self._right = across
        self._line = (along[1] - along[0]) / _LINES
        self._char = (across[1] - across[0]) / _CHARS
        self._taken = [(x - self._char / 2, x + self._char / 2, y) for x, y in points]

    def take(self, x: float, y: float, chars: int) -> tuple[bool, int]:
        """Return on which side of a point its name has room, and how many lines up (or down)."""
        width = (chars + 3) * self._char
        for up in (0, 1, -1, 2, -2, 3, -3, 4, -4):
            for is_left in (False, True):
                begin, end = (x - width, x - self._char) if is_left else (x + self._char, x + width)
                height = y + up * self._line
                is_inside = self._left <= begin and end <= self._right
                if is_inside and self._is_free(begin, end, height):
                    self._taken.append((begin, end, height))
                    return is_left, up
        return x > (self._left + self._right) / 2, 0

    def _is_free(self, begin: float, end: float, height: float) -> bool:
        return not any(
            abs(height - other) < self._line and begin < other_end and other_begin < end
            for other_begin, other_end, other in self._taken
        )


def _legend(rows: list[StrategyRow]) -> list[object]:
    from matplotlib.lines import Line2D

    kinds = dict.fromkeys(map(_kind, rows))
    handles: list[object] = [
        Line2D([], [], color=_COLOURS[kind], marker=_MARKERS[kind], linestyle="", label=words)
        for kind, words in _LEGEND.items()
        if kind in kinds
    ]
    if _hull(rows):
        handles.append(Line2D([], [], color=_FAINT, linestyle="--", label="chance between tiers"))
    return handles
