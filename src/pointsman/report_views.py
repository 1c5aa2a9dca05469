"""The report for people and programs: on a terminal, as plain text, as JSON, as CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from pointsman.core.prices import format_usd
from pointsman.report import Group, Report
from pointsman.report_savings import Savings

if TYPE_CHECKING:
    from rich.console import Console

# A spreadsheet takes such a cell for a formula, full-width signs included.
# Source: OWASP, "CSV Injection".
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

# Title, heads ("" for none), lines.
Section: TypeAlias = tuple[str, tuple[str, ...], Sequence[tuple[str, ...]]]

_GROUP_HEADS = ("", "calls", "hits", "attempts", "input tokens", "output tokens", "cost")
_CSV_HEADS = (
    "section", "name", "calls", "hits", "attempts", "input_tokens", "output_tokens", "cost_usd"
)  # fmt: skip


def to_terminal(report: Report, console: "Console") -> None:
    """Print tables on a terminal, plain text anywhere else."""
    if not console.is_terminal:
        console.out(to_text(report), highlight=False)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for title, heads, lines in _sections(report):
        table = Table(box=box.SIMPLE, title=title, title_justify="left", title_style="bold")
        for number, head in enumerate(heads):
            is_number = number > 0 and any(heads)
            table.add_column(head, justify="right" if is_number else "left", overflow="fold")
        table.show_header = any(heads)
        for line in lines:
            table.add_row(*(Text(cell) for cell in line))
        console.print(table)


def to_text(report: Report) -> str:
    """Return aligned columns without colours or lines."""
    blocks = []
    for title, heads, lines in _sections(report):
        table = [heads, *lines] if any(heads) else list(lines)
        widths = [max(len(line[column]) for line in table) for column in range(len(heads))]
        shown = ("  ".join(_aligned(line, widths, any(heads))).rstrip() for line in table)
        blocks.append("\n".join((title, *(f"  {line}" for line in shown))))
    return "\n\n".join(blocks)


def to_json(report: Report) -> bytes:
    """Return the report's own fields; what is estimated has a name that says so."""
    return msgspec.json.encode(report)


def to_csv(report: Report) -> str:
    """Return one table: the total, the tiers, the groups, and what is estimated."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_HEADS)
    total = Group(
        name="total",
        calls=report.calls,
        hits=report.hits,
        attempts=report.attempts,
        input_tokens=report.input_tokens,
        output_tokens=report.output_tokens,
        cost_nanousd=report.cost_nanousd,
    )
    writer.writerow(_csv_group("total", total))
    writer.writerows(_csv_group("tier", group) for group in report.tiers)
    if report.by and report.by != "tier":
        writer.writerows(_csv_group(report.by, group) for group in report.groups)
    for it in report.estimated_alternatives:
        name = f"{it.name}: {it.tier} ({it.deployment})"
        writer.writerow(_csv_amount("estimated cost elsewhere", name, it.cost_nanousd))
    if report.estimated_savings:
        for name, nanousd in _savings_lines(report.estimated_savings):
            writer.writerow(_csv_amount("estimated savings", name, nanousd))
    return text.getvalue()


def _sections(report: Report) -> Iterator[Section]:
    yield f"Report {_period(report)}", ("", ""), list(_summary(report))
    yield "By tier", _GROUP_HEADS, list(_group_lines(report.tiers))
    if report.by and report.by != "tier":
        yield f"By {report.by}", _GROUP_HEADS, list(_group_lines(report.groups))
    if report.estimated_alternatives:
        elsewhere = [
            (_shown(f"{it.name}: {it.tier} ({it.deployment})"), format_usd(it.cost_nanousd))
            for it in report.estimated_alternatives
        ]
        yield f"The same requests elsewhere ({report.estimated_note})", ("", ""), elsewhere
    if report.estimated_savings:
        lines = [
            (_shown(name), format_usd(nanousd))
            for name, nanousd in _savings_lines(report.estimated_savings)
        ]
        yield f"Savings ({report.estimated_note})", ("", ""), lines


def _summary(report: Report) -> Iterator[tuple[str, str]]:
    yield "cost", format_usd(report.cost_nanousd)
    yield "calls", f"{report.calls:,} ({report.answered:,} answered)"
    yield "cache hits", f"{report.hits:,}"
    yield "attempts", f"{report.attempts:,}"
    yield "input tokens", f"{report.input_tokens:,} ({report.cached_input_tokens:,} cached)"
    yield "output tokens", f"{report.output_tokens:,} ({report.reasoning_tokens:,} reasoning)"
    yield "escalations", f"{report.escalations:,}"
    yield "fallbacks", f"{report.fallbacks:,}"
    yield "failures", f"{report.failures:,}"
    yield from ((name, f"{count:,}") for name, count in _rare_counts(report) if count)
    if report.unpriced_attempts:
        yield (
            "without a price",
            f"{report.unpriced_attempts:,} attempts with {report.unpriced_tokens:,} tokens,"
            " not in the cost",
        )
    if report.unknown_attempts:
        yield (
            "cost unknown",
            f"{report.unknown_attempts:,} attempts, not in the cost; at most"
            f" {format_usd(report.unknown_at_most_nanousd)} where a bound is known",
        )


def _rare_counts(report: Report) -> tuple[tuple[str, int], ...]:
    return (
        ("cancelled", report.cancelled),
        ("lost in a crash", report.orphans),
        ("still under way", report.pending),
        ("usage estimated", report.estimated_usage_attempts),
    )


def _savings_lines(savings: Savings) -> tuple[tuple[str, int], ...]:
    return (
        (f"baseline: {savings.baseline}", savings.baseline_nanousd),
        ("spent", savings.spent_nanousd),
        ("saved", savings.total_nanousd),
        ("saved by routing", savings.routing_nanousd),
        ("saved by the cache", savings.cache_nanousd),
        ("saved by prompt caches", savings.prompt_cache_nanousd),
        ("lost to escalations", -savings.escalations_nanousd),
        ("lost to failures", -savings.failures_nanousd),
    )


def _group_lines(groups: Iterable[Group]) -> Iterator[tuple[str, ...]]:
    for it in groups:
        counts = (it.calls, it.hits, it.attempts, it.input_tokens, it.output_tokens)
        yield _shown(it.name), *(f"{count:,}" for count in counts), format_usd(it.cost_nanousd)


def _period(report: Report) -> str:
    until = "now" if report.until_ns is None else _moment(report.until_ns)
    return f"from {_moment(report.since_ns)} until {until}" if report.since_ns else f"until {until}"


def _moment(at_ns: int) -> str:
    return f"{datetime.fromtimestamp(at_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M} UTC"


def _aligned(line: tuple[str, ...], widths: list[int], has_numbers: bool) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.rjust(width) if has_numbers and column > 0 else cell.ljust(width)


def _shown(text: str) -> str:
    """Return text of unknown origin without what would steer a terminal."""
    return "".join(it if it.isprintable() else "\N{REPLACEMENT CHARACTER}" for it in text)


def _csv_group(section: str, group: Group) -> tuple[str | int, ...]:
    return (
        section,
        _csv_text(group.name),
        group.calls,
        group.hits,
        group.attempts,
        group.input_tokens,
        group.output_tokens,
        _csv_usd(group.cost_nanousd),
    )


def _csv_amount(section: str, name: str, nanousd: int | None) -> tuple[str, ...]:
    return (section, _csv_text(name), "", "", "", "", "", _csv_usd(nanousd))


def _csv_text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv_usd(nanousd: int | None) -> str:
    """Return exact USD, "" when not known. A number may begin with a minus: it is no text."""
    return "" if nanousd is None else f"{Decimal(nanousd).scaleb(-9):f}"
