"""Views: a comparison as a table for people, on a terminal or not, and as JSON for machines."""

import sys
from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Literal, TextIO

import msgspec

from pointsman.compare.comparison import NOT_KNOWN, Comparison, StrategyRow
from pointsman.core.prices import format_usd

if TYPE_CHECKING:
    from rich.console import Console

_UNKNOWN = "-"
_TEXT_WIDTH = 100
_LEFT = 0  # the one column that is not of figures
# Columns that go where the terminal is narrow: of quality where there is none, else what matters
# least beside it.
_WITHOUT_LABELS, _WITH_LABELS = (4,), (6, 7)
_ROOMY_WIDTH = 110


def render(comparison: Comparison, *, file: TextIO | None = None, json: bool = False) -> None:
    """Print a comparison to `file`, standard output for None: a table with its words, or JSON."""
    out = file or sys.stdout
    if json:
        encoded = msgspec.json.format(msgspec.json.encode(comparison))
        out.write(f"{encoded.decode()}\n")
    elif out.isatty():
        _print_table(comparison, out)
    else:
        out.write(plain_text(comparison))


def plain_text(comparison: Comparison) -> str:
    """Return the table in blanks and line breaks alone, with its sentence and footnotes."""
    lines = [_headings(comparison), *(_cells(row, comparison) for row in comparison.rows)]
    tables = [*_aligned(lines), ""]
    if caches := _caches(comparison):
        tables += [*_aligned(caches), ""]
    words = [fill(text, _TEXT_WIDTH) for text in _words(comparison)]
    return "\n".join([*tables, *words, ""])


def _aligned(lines: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    table = [
        "  ".join(
            cell.ljust(width) if place == _LEFT else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    table.insert(1, "  ".join("-" * width for width in widths))
    return table


def _print_table(comparison: Comparison, out: TextIO) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out)
    lines = [_headings(comparison), *(_cells(row, comparison) for row in comparison.rows)]
    if console.width < _ROOMY_WIDTH:
        lines = _narrowed(lines, has_labels=any(row.quality is not None for row in comparison.rows))
    _print_lines(lines, console)
    if caches := _caches(comparison):
        _print_lines(caches, console)
    summary, *notes = _words(comparison)
    console.print(Text(summary, style="bold"))
    for note in notes:
        console.print(Text(note, style="dim"))


def _print_lines(lines: Sequence[tuple[str, ...]], console: "Console") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # A figure too wide is broken rather than shortened.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for place, heading in enumerate(lines[0]):
        justify: Literal["left", "right"] = "left" if place == _LEFT else "right"
        table.add_column(
            Text(heading),
            justify=justify,
            vertical="bottom",
            overflow="fold",
            min_width=max(len(word) for line in lines for word in line[place].split()),
        )
    for line in lines[1:]:
        table.add_row(*(Text(cell) for cell in line))
    console.print(table)


def _narrowed(lines: list[tuple[str, ...]], *, has_labels: bool) -> list[tuple[str, ...]]:
    """Return the lines, the headings first, with fewer columns and shorter ones."""
    gone = _WITH_LABELS if has_labels else _WITHOUT_LABELS
    kept = [
        tuple(cell.replace(" to ", "–") for place, cell in enumerate(line) if place not in gone)
        for line in lines
    ]
    return [tuple(heading.replace(" ", "\n") for heading in kept[0]), *kept[1:]]


def _headings(comparison: Comparison) -> tuple[str, ...]:
    return (
        "strategy",
        "total cost",
        f"cost vs {comparison.baseline}",
        "quality",
        f"quality vs {comparison.baseline} (95% interval)",
        "mean latency",
        "p95 latency",
        "cache hits",
    )


def _cells(row: StrategyRow, comparison: Comparison) -> tuple[str, ...]:
    mark = "~" if row.is_cost_estimated else ""
    quality, quality_share = _quality(row, comparison)
    return (
        row.strategy,
        "unknown" if row.cost_nanousd is None else mark + format_usd(row.cost_nanousd),
        _share(row, comparison),
        quality,
        quality_share,
        _latency(row.latency_mean_ms, row),
        _latency(row.latency_p95_ms, row),
        f"{row.cache_hits:,}" if row.has_cache else _UNKNOWN,
    )


def _caches(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return what each cache would have served, the headings first; nothing where none would."""
    lines = [
        (
            row.strategy,
            f"{row.cache_hits:,}",
            f"{row.cache_hits / max(1, comparison.log.compared):.1%}",
            _saved(row),
            _wrong(row),
        )
        for row in comparison.rows
        if row.has_cache
    ]
    has_hits = any(row.cache_hits for row in comparison.rows)
    return [("cache", "hits", "of requests", "saved", "wrong answers"), *lines] if has_hits else []


def _saved(row: StrategyRow) -> str:
    if row.saved_nanousd is None:
        return "unknown"
    return f"{'~' if row.is_saved_estimated else ''}{format_usd(row.saved_nanousd)}"


def _wrong(row: StrategyRow) -> str:
    if not row.judged_hits:
        return NOT_KNOWN if row.cache_hits else _UNKNOWN
    share = f"{row.wrong_hits / row.judged_hits:.2%}"
    most = "~ at most " if row.is_wrong_estimated else ""
    return f"{most}{row.wrong_hits:,} of {row.judged_hits:,} judged ({share})"


def _share(row: StrategyRow, comparison: Comparison) -> str:
    if row.cost_share is None:
        return _UNKNOWN
    if row.strategy == comparison.baseline:
        return "100%"
    is_estimated = row.is_cost_estimated or comparison.is_baseline_estimated
    return f"{'~' if is_estimated else ''}{row.cost_share:.1%}"


def _quality(row: StrategyRow, comparison: Comparison) -> tuple[str, str]:
    if row.quality is None:
        words = NOT_KNOWN if comparison.log.labelled else comparison.quality_note
        return words, words
    interval = row.quality_interval if row.strategy != comparison.baseline else None
    bounds = f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
    share = _UNKNOWN if row.quality_share is None else f"{row.quality_share:.1%}{bounds}"
    return f"{row.quality:.3f}", share


def _latency(latency_ms: float | None, row: StrategyRow) -> str:
    if latency_ms is None:
        return _UNKNOWN
    mark = "~" if row.is_latency_estimated else ""
    if latency_ms < 1_000:
        return f"{mark}{latency_ms:.0f} ms"
    return f"{mark}{latency_ms / 1_000:,.2f} s"


def _words(comparison: Comparison) -> Iterator[str]:
    log = comparison.log
    yield f"Over {log.compared:,} request{'' if log.compared == 1 else 's'}: {comparison.summary}."
    if comparison.quality_proof:
        yield f"{comparison.proof_of}: {comparison.quality_proof}."
    yield from comparison.notes
