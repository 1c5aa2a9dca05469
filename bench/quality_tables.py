"""Tables of `bench/quality.py`: how well routers order requests, with intervals, in Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from published_routers import GSM8K, MMLU, MT_BENCH, PUBLISHED, Published

from pointsman.training.metrics import (
    Curve,
    Figure,
    Floats,
    Pair,
    Places,
    apgr,
    as_figure,
    cpt,
    draws,
    trace,
)

LENGTH = "length alone"
TITLES = {MMLU: "MMLU", GSM8K: "GSM8K", MT_BENCH: "MT-Bench"}
_SEED = 20_261_123
_TENTHS = np.linspace(0.0, 1.0, 11)
_FOOTNOTE = "\\* How the groups lie among each other was chosen with all sets in view."


@dataclass(frozen=True, slots=True)
class Ranking:
    """How one router orders the n requests of a set.

    needs: each (n,), one for each draw of labels; none: a new random order every time.
    labels: of this set, that it learned from.  where: "in" distribution, "out" of it, or "-"; a
    star: settings, though no weights, were chosen with this set in view.
    """

    router: str
    labels: str
    where: str
    needs: tuple[Floats, ...]


class Line(msgspec.Struct, frozen=True):
    """What one router came to; `apgr_11` is APGR from eleven points only, as RouteLLM's code."""

    router: str
    labels: str
    where: str
    apgr: Figure
    apgr_11: Figure
    less_length: Figure
    cpt50: Figure
    cpt80: Figure


class Table(msgspec.Struct, frozen=True):
    """All that is said of one set of n requests."""

    name: str
    n: int
    weak: float
    strong: float
    lines: tuple[Line, ...]
    published: tuple[Published, ...]


def measure(name: str, quality: Floats, found: Sequence[Ranking], resamples: int) -> Table:
    """Return the table of a set; quality: (n, 2), 0..1.

    An interval is over draws of requests and, where there are several, of labels. Every router
    meets the same draws of requests, so that differences from length are of pairs.
    """
    nothing = np.zeros(len(quality))
    pair = Pair(quality[:, 0], quality[:, 1], nothing, nothing)
    values = [_value(ranking, pair) for ranking in found]
    drawn = [_drawn(ranking, pair, resamples) for ranking in found]
    length = [ranking.router for ranking in found].index(LENGTH)
    lines = []
    for ranking, value, draw in zip(found, values, drawn, strict=True):
        figures = {key: as_figure(value[key], draw[key]) for key in value}
        lines.append(
            Line(
                router=ranking.router,
                labels=ranking.labels,
                where=ranking.where,
                less_length=as_figure(
                    value["apgr"] - values[length]["apgr"], draw["apgr"] - drawn[length]["apgr"]
                ),
                **figures,
            )
        )
    return Table(
        name=name,
        n=len(quality),
        weak=float(pair.weak.mean()),
        strong=float(pair.strong.mean()),
        lines=tuple(lines),
        published=tuple(one for one in PUBLISHED if one.name == name),
    )


def show(table: Table) -> Iterator[str]:
    """Yield the lines of a set in Markdown."""
    yield f"### {TITLES.get(table.name, table.name)}"
    yield ""
    yield f"{table.n:,} requests; mean score {table.weak:.3f} weak, {table.strong:.3f} strong."
    yield ""
    yield "| router | labels | distribution | APGR | 11 points | less length | CPT50 | CPT80 |"
    yield "|---|--:|---|--:|--:|--:|--:|--:|"
    for line in table.lines:
        points = "-" if line.apgr_11.value is None else f"{line.apgr_11.value:.3f}"
        cells = (
            *(line.router, line.labels, line.where, _shown(line.apgr), points),
            "-" if line.router == LENGTH else _shown(line.less_length, sign="+"),
            *(_share(line.cpt50), _share(line.cpt80)),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""
    if any(line.where.endswith("*") for line in table.lines):
        yield from (_FOOTNOTE, "")
    if table.published:
        yield "| published | labels | APGR | CPT50 | CPT80 | source | how it came here |"
        yield "|---|---|--:|--:|--:|---|---|"
    for one in table.published:
        told = ("-" if one.apgr is None else f"{one.apgr:.3f}", _percent(one.cpt50))
        known = (one.router, one.labels, *told, _percent(one.cpt80), one.source, one.checked)
        yield f"| {' | '.join(known)} |"
    if table.published:
        yield ""
    yield from _verdicts(table)


def _figures(need: Floats, pair: Pair) -> dict[str, float]:
    curve = trace(need, pair)
    at_tenths = Curve(
        share=_TENTHS,
        quality=np.interp(_TENTHS, curve.share, curve.quality),
        cost=np.interp(_TENTHS, curve.share, curve.cost),
    )
    return {
        "apgr": apgr(curve),
        "apgr_11": apgr(at_tenths),
        "cpt50": cpt(curve, 0.5),
        "cpt80": cpt(curve, 0.8),
    }


def _value(ranking: Ranking, pair: Pair) -> dict[str, float]:
    """Return the figures over all requests, each the mean over the draws of labels."""
    found = [_figures(need, pair) for need in ranking.needs or (np.zeros(pair.size),)]
    return {key: float(np.mean([one[key] for one in found])) for key in found[0]}


def _drawn(ranking: Ranking, pair: Pair, resamples: int) -> dict[str, Floats]:
    rng = np.random.default_rng(_SEED)

    def figures(rows: Places) -> dict[str, float]:
        if not ranking.needs:
            return _figures(rng.random(len(rows)), pair.pick(rows))
        need = ranking.needs[rng.integers(len(ranking.needs))]
        return _figures(need[rows], pair.pick(rows))

    return draws(figures, pair.size, resamples)


def _verdicts(table: Table) -> Iterator[str]:
    """Yield what the intervals allow to say, APGR alone."""
    chance = table.lines[0].apgr
    yield f"- A random order of as many requests lands in {_interval(chance)}."
    for line in table.lines[1:]:
        said = [
            f"{_against(line.apgr, one.apgr)} {one.apgr:.3f}"
            for one in table.published
            if one.apgr is not None
        ]
        if line.router != LENGTH:
            said.insert(0, f"{_against(line.less_length, 0.0)} length")
        yield f"- {line.router} ({line.labels}): {', '.join(said) or 'nothing to set it against'}."
    yield ""


def _against(figure: Figure, other: float) -> str:
    if figure.low is None or figure.high is None:
        return "not known against"
    if figure.low > other:
        return "above"
    return "below" if figure.high < other else "not told apart from"


def _shown(figure: Figure, sign: str = "") -> str:
    return "-" if figure.value is None else f"{figure.value:{sign}.3f} {_interval(figure)}"


def _interval(figure: Figure) -> str:
    return "-" if figure.low is None else f"[{figure.low:.3f}, {figure.high:.3f}]"


def _share(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "-"
    return f"{figure.value:.1%} [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
