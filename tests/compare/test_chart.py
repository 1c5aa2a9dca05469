"""The chart is a picture of its kind, with all that is needed to read it, or an error before."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
from tests.compare.builders import BIG, SMALL, TIERS, deployment, logged, price

from pointsman.compare import Comparison, compare
from pointsman.compare.chart import draw, write_chart
from pointsman.compare.chart_file import check_chart
from pointsman.compare.curve import draw_curve, drawable
from pointsman.compare.records import Outcome
from pointsman.core.errors import ConfigError
from pointsman.core.types import Snapshot, Tier

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sample(snapshot: Snapshot = TIERS, *, latency_ms: int | None = 300) -> Comparison:
    records = [
        logged("a", latency_ms=latency_ms),
        logged("a", model="small", latency_ms=latency_ms),
    ]
    return compare(records, snapshot=snapshot)


def test_a_png_has_its_signature_and_a_size(tmp_path):
    write_chart(sample(), tmp_path / "chart.PNG")
    content = (tmp_path / "chart.PNG").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20], "big") > 1_000


def test_an_svg_is_xml_and_leaves_nothing_beside_it(tmp_path):
    write_chart(sample(), tmp_path / "chart.svg")
    root = ElementTree.parse(tmp_path / "chart.svg").getroot()  # noqa: S314 - written just now
    assert root.tag.endswith("svg")
    assert [path.name for path in tmp_path.iterdir()] == ["chart.svg"]


def test_axes_have_units_and_every_bar_its_strategy_and_figure():
    comparison = sample()
    costs, latencies = draw(comparison).axes
    assert costs.get_xlabel() == "total cost (USD)"
    assert latencies.get_xlabel() == "mean latency (s)"
    names = [label.get_text() for label in costs.get_yticklabels()]
    assert names == [row.strategy for row in comparison.rows]
    assert all(len(axes.texts) == len(names) for axes in (costs, latencies))


def test_estimated_bars_are_hatched_and_measured_ones_are_not():
    records = [logged("a", latency_ms=300)]
    comparison = compare(records, snapshot=TIERS, strategies=["all-power", "all-fast"])
    costs = draw(comparison).axes[0]
    assert [bar.get_hatch() for bar in costs.patches] == [None, "///"]


def test_without_latencies_there_is_one_panel():
    assert len(draw(sample(latency_ms=None)).axes) == 1


def labelled(count: int = 40) -> Comparison:
    records = [
        msgspec.structs.replace(
            logged(f"explain {number}"),
            outcomes={
                "acme/small": Outcome(quality=float(number % 2), cost_nanousd=1_000),
                "acme/middle": Outcome(quality=float(number % 3 > 0), cost_nanousd=2_000),
                "acme/big": Outcome(quality=float(number % 5 > 0), cost_nanousd=9_000 + number),
            },
        )
        for number in range(count)
    ]
    return compare(records, snapshot=TIERS)


def test_labelled_data_is_drawn_as_quality_against_cost():
    comparison = labelled()
    (axes,) = draw(comparison).axes
    assert axes.get_xlabel() == "cost, % of all-power" and "95% interval" in axes.get_ylabel()
    named = ", ".join(text.get_text() for text in axes.texts).split(", ")
    assert sorted(named) == sorted(row.strategy for row in drawable(comparison))
    drawn = [xy for line in axes.lines for xy in np.asarray(line.get_xydata()).tolist()]
    for row in drawable(comparison):
        assert row.cost_share is not None
        assert [100 * row.cost_share, row.quality] in drawn


@pytest.mark.parametrize(
    ("middle", "corners"),
    [((20.0, 0.8), [(5.0, 0.4), (20.0, 0.8), (100.0, 1.0)]), ((80.0, 0.5), [(5.0, 0.4), (100, 1)])],
    ids=["above", "below"],
)
def test_chance_runs_over_the_tiers_that_chance_would_use(middle, corners):
    from matplotlib.figure import Figure

    places = {"all-fast": (5.0, 0.4), "all-mid": middle, "all-power": (100.0, 1.0)}
    rows = tuple(
        msgspec.structs.replace(
            row, cost_share=places[row.strategy][0] / 100, quality=places[row.strategy][1]
        )
        for row in labelled().rows
        if row.strategy in places
    )
    figure = Figure()
    draw_curve(figure, msgspec.structs.replace(labelled(), rows=rows))
    (chance,) = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert np.asarray(chance.get_xydata()) == pytest.approx(np.array(corners))


def test_the_interval_of_a_point_is_that_of_its_row():
    from matplotlib.collections import LineCollection

    assert drawable(compare([], snapshot=TIERS)) == []
    row = next(row for row in labelled().rows if row.strategy == "all-fast")
    (axes,) = draw(msgspec.structs.replace(labelled(), rows=(row,))).axes
    (bars,) = axes.collections
    assert isinstance(bars, LineCollection)
    (low, high) = bars.get_segments()[0][:, 1]
    assert row.quality_interval and row.quality_share and row.quality is not None
    scale = row.quality / row.quality_share
    assert (low, high) == pytest.approx([bound * scale for bound in row.quality_interval])


NAMES = ("a-tier-with-a-rather-long-name", "b")


@pytest.mark.parametrize(
    "snapshot",
    [
        TIERS,
        Snapshot(
            tiers=(
                Tier(name=NAMES[0], deployments=(SMALL,)),
                Tier(name=NAMES[1], deployments=(BIG,)),
            ),
            default_tier="b",
        ),
        Snapshot(
            tiers=(Tier(name="free", deployments=(deployment("x", price(0, 0)),)),),
            default_tier="free",
        ),
        Snapshot(tiers=(Tier(name="x", deployments=(deployment("x", None),)),), default_tier="x"),
    ],
    ids=["three", "long", "free", "unpriced"],
)
def test_no_text_lies_on_another_or_outside(snapshot: Snapshot):
    assert_readable(draw(sample(snapshot)))


def test_no_name_on_the_curve_lies_on_another_or_outside():
    figure = draw(labelled())
    figure.axes[0].set_yticks([])
    assert_readable(figure)


def assert_readable(figure: "Figure") -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [text for axes in figure.axes for text in axes.texts]
    texts += list(figure.axes[0].get_yticklabels())
    boxes = [text.get_window_extent(renderer) for text in texts]
    for place, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 + 1
        assert not any(box.overlaps(other) for other in boxes[place + 1 :])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("chart.jpg", "must end in .png or .svg"),
        ("chart", "must end in"),
        ("no/x.png", "no folder"),
    ],
)
def test_a_chart_that_cannot_be_drawn_is_refused_at_once(tmp_path, name: str, words: str):
    with pytest.raises(ConfigError, match=words):
        check_chart(tmp_path / name)


def test_without_matplotlib_the_remedy_is_named(monkeypatch, tmp_path: Path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'pointsman\[charts\]'"):
        write_chart(sample(), tmp_path / "chart.png")


def test_a_file_that_cannot_be_replaced_is_left_alone(tmp_path):
    (tmp_path / "chart.png").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_chart(sample(), tmp_path / "chart.png")
    assert [path.name for path in tmp_path.iterdir()] == ["chart.png"]
