"""Pictures: CPU of each path as a multiple of nginx's, and curves of what a request costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.speed.report import LIMIT_FIGURES, medians, number
from bench.speed.results import Result, names, rounds
from bench.speed.targets import LIMIT, OWN
from matplotlib.axes import Axes

from pointsman.compare.chart_file import figure_class, save_chart

PATHS = {
    "cpu_ms": "small request",
    "hit_cpu_ms": "cache hit",
    "stream_cpu_ms": "stream of 100 chunks",
    "translated_cpu_ms": "translated stream",
    "large_cpu_ms": "100 kB request",
}
INK, GRID = "#222222", "#dddddd"
OWN_COLOUR, LIMIT_COLOUR, PEER_COLOUR = "#4878a8", "#9a9a9a", "#c98a5b"


def write_bars(results: Sequence[Result], titles: Mapping[str, str], path: Path) -> None:
    """Draw a panel for each path: a bar for each gateway, nginx's being 1, on a log scale."""
    found = rounds(results)
    by_name = {name: figures for name in names(results) if (figures := medians(found, name))}
    limit = by_name.get(LIMIT, {})
    shown = {key: title for key, title in PATHS.items() if limit.get(LIMIT_FIGURES.get(key, key))}
    if not shown:
        raise SystemExit("no picture: the run has no figures of nginx, which all are multiples of")
    bars = {
        key: {
            n: f[key] / limit[LIMIT_FIGURES.get(key, key)] for n, f in by_name.items() if key in f
        }
        for key in shown
    }
    rows = [len(values) + 1.2 for values in bars.values()]
    figure = figure_class()(figsize=(9.0, 0.6 + 0.32 * sum(rows)))
    figure.set_layout_engine("constrained")
    figure.suptitle("CPU per request, nginx's in the same run = 1 (less is better)", color=INK)
    panels = figure.subplots(len(shown), 1, squeeze=False, sharex=True, height_ratios=rows)[:, 0]
    greatest = max(value for values in bars.values() for value in values.values())
    for axes, (key, title) in zip(panels, shown.items(), strict=True):
        _draw_bars(axes, bars[key], titles)
        axes.set_xlim(0.5, greatest * 2)
        axes.set_title(title, loc="left", fontsize=10, color=INK)
    save_chart(figure, path)


def _draw_bars(axes: Axes, values: Mapping[str, float], titles: Mapping[str, str]) -> None:
    colours = {OWN: OWN_COLOUR, LIMIT: LIMIT_COLOUR}
    places = range(len(values))
    axes.barh(
        places,
        list(values.values()),
        left=0,
        height=0.66,
        color=[colours.get(name, PEER_COLOUR) for name in values],
    )
    axes.set_xscale("log")
    axes.set_yticks(places, [plain(titles.get(name, name)) for name in values], fontsize=9)
    axes.set_ylim(len(values) - 0.4, -0.6)  # the first on top, bars as thick in every panel
    for place, value in zip(places, values.values(), strict=True):
        axes.annotate(
            f"{number(value)}x", (value, place), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=9, color=INK,
        )  # fmt: skip
    _quiet(axes)


def write_curves(
    curves: Mapping[str, Sequence[tuple[float, float]]], titles: tuple[str, str, str], path: Path
) -> None:
    """Draw curves on two log axes; `titles`: of the picture, of x and of y."""
    figure = figure_class()(figsize=(7.0, 4.2))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for place, (name, points) in enumerate(curves.items()):
        colour = (OWN_COLOUR, LIMIT_COLOUR, PEER_COLOUR)[place % 3]
        axes.plot(*zip(*points, strict=True), marker="o", color=colour, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_title(titles[0], loc="left", fontsize=11, color=INK)
    axes.set_xlabel(titles[1])
    axes.set_ylabel(titles[2])
    axes.legend(frameon=False)
    _quiet(axes)
    save_chart(figure, path)


def _quiet(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.grid(axis="both" if axes.get_yscale() == "log" else "x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def plain(title: str) -> str:
    return title.replace("`", "")
