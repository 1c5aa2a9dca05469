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
from pointsman.report_audits import AuditedGroup
from pointsman.report_prompt_caches import PromptCacheUse
from pointsman.report_savings import Savings

if TYPE_CHECKING:
    from rich.console import Console

# A spreadsheet takes such a cell for a formula, full-width signs included.
# Source: OWASP, "CSV Injection".
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

# Title, heads ("" for none), lines.
Section: TypeAlias = tuple[str, tuple[str, ...], Sequence[tuple[str, ...]]]

_GROUP_HEADS = ("", "calls", "hits", "attempts", "input tokens", "output tokens", "cost")
_PROMPT_CACHE_HEADS = ("", "marks", "input tokens", "cached", "written", "saved (estimated)")
_AUDIT_HEADS = ("", "labels", "floor", "kept (estimated)", "judge", "threshold")
_CSV_HEADS = (
    "section", "name", "calls", "hits", "attempts", "input_tokens", "output_tokens", "cost_usd",
    "unpriced_attempts", "unknown_attempts",
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
    """Return one table: the total, kinds of attempts, tiers, groups, and what is estimated.

    A cost is the part that is known, empty where none of it is.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_HEADS)
    writer.writerow(_csv_group("total", _total(report)))
    writer.writerows(
        ("of these", name, "", "", count, "", "", "", "", "")
        for name, count in (*_counts(report), *_rare_counts(report))
    )
    bound = report.unknown_at_most_nanousd if report.unknown_bounded_attempts else None
    writer.writerow(_csv_amount("of these", "cost unknown, at most", bound))
    if report.audit.attempts:
        writer.writerow(_csv_group("of these", report.audit))
    writer.writerows(_csv_group("tier", group) for group in report.tiers)
    if report.by and report.by != "tier":
        writer.writerows(_csv_group(report.by, group) for group in report.groups)
    for it in report.estimated_alternatives:
        name = f"{it.name}: {it.tier} ({it.deployment})"
        writer.writerow(_csv_amount("estimated cost elsewhere", name, it.cost_nanousd))
    if report.estimated_savings:
        for name, nanousd in _savings_lines(report.estimated_savings):
            writer.writerow(_csv_amount("estimated savings", name, nanousd))
    for use in report.prompt_caches:
        writer.writerows(_csv_prompt_cache(use))
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
        if report.estimated_left_out_answers:
            count = f"{report.estimated_left_out_answers:,}"
            elsewhere.append(("answers left out, for their own cost is not known", count))
        yield f"The same requests elsewhere ({report.estimated_note})", ("", ""), elsewhere
    if report.estimated_savings:
        lines = [
            (_shown(name), format_usd(nanousd))
            for name, nanousd in _savings_lines(report.estimated_savings)
        ]
        lines.append(("quality kept", _shown(report.quality_proof)))
        yield f"Savings ({report.estimated_note})", ("", ""), lines
    if report.prompt_caches:
        title = "Prompt caches of providers (against the plain input price)"
        yield title, _PROMPT_CACHE_HEADS, list(_prompt_cache_lines(report.prompt_caches))
    if report.audited:
        yield "Audits, since they began", _AUDIT_HEADS, list(_audit_lines(report.audited))


def _summary(report: Report) -> Iterator[tuple[str, str]]:
    yield "cost", _cost(_total(report))
    yield "calls", f"{report.calls:,} ({report.answered:,} answered)"
    reworded = f" ({report.reworded_hits:,} reworded)" if report.reworded_hits else ""
    yield "cache hits", f"{report.hits:,}{reworded}"
    yield "attempts", f"{report.attempts:,}"
    yield "input tokens", f"{report.input_tokens:,} ({report.cached_input_tokens:,} cached)"
    yield "output tokens", f"{report.output_tokens:,} ({report.reasoning_tokens:,} reasoning)"
    yield from ((name, f"{count:,}") for name, count in _counts(report))
    yield from ((name, f"{count:,}") for name, count in _rare_counts(report) if count)
    if report.audit.attempts:
        count = f"{report.audit.attempts:,} attempts, in the cost"
        yield "audits", f"{_cost(report.audit)} for {count}"
    if report.unpriced_attempts:
        yield (
            "without a price",
            f"{report.unpriced_attempts:,} attempts with {report.unpriced_tokens:,} tokens,"
            " not in the cost",
        )
    if report.unknown_attempts:
        yield (
            "cost unknown",
            f"{report.unknown_attempts:,} attempts, not in the cost; {_bound(report)}",
        )


def _bound(report: Report) -> str:
    if not report.unknown_bounded_attempts:
        return "no bound known"
    bound = f"at most {format_usd(report.unknown_at_most_nanousd)}"
    is_whole = report.unknown_bounded_attempts == report.unknown_attempts
    return bound if is_whole else f"{bound} where a bound is known"


def _counts(report: Report) -> tuple[tuple[str, int], ...]:
    return (
        ("escalations", report.escalations),
        ("fallbacks", report.fallbacks),
        ("failures", report.failures),
    )


def _rare_counts(report: Report) -> tuple[tuple[str, int], ...]:
    return (
        ("cancelled", report.cancelled),
        ("lost in a crash", report.orphans),
        ("still under way", report.pending),
        ("usage estimated", report.estimated_usage_attempts),
    )


def _prompt_cache_lines(uses: Iterable[PromptCacheUse]) -> Iterator[tuple[str, ...]]:
    for it in uses:
        written = it.cache_write_tokens / max(1, it.input_tokens)
        yield (
            _shown(it.deployment),
            "on" if it.has_cache_marks else "off",
            f"{it.input_tokens:,}",
            f"{it.cached_share:.0%}",
            f"{min(1.0, written):.0%}",
            format_usd(it.estimated_saved_nanousd),
        )


def _audit_lines(groups: Iterable[AuditedGroup]) -> Iterator[tuple[str, ...]]:
    for it in groups:
        kept = it.quality_kept_estimated
        times = "once" if it.steps == 1 else f"{it.steps} times"
        yield (
            _shown(it.name),
            f"{it.labels:,}",
            f"{it.floor:.0%}",
            "unknown" if kept is None else f"{kept:.0%}",
            _shown(it.judge),
            f"lowered {times}: the floor was broken" if it.steps else "as it was",
        )


def _savings_lines(savings: Savings) -> tuple[tuple[str, int], ...]:
    audits = (("lost to audits", -savings.audits_nanousd),) if savings.audits_nanousd else ()
    return (
        (f"baseline: {savings.baseline}", savings.baseline_nanousd),
        ("spent", savings.spent_nanousd),
        ("saved", savings.total_nanousd),
        ("saved by routing", savings.routing_nanousd),
        ("saved by the cache", savings.cache_nanousd),
        ("saved by prompt caches", savings.prompt_cache_nanousd),
        ("lost to escalations", -savings.escalations_nanousd),
        ("lost to failures", -savings.failures_nanousd),
        *audits,
    )


def _group_lines(groups: Iterable[Group]) -> Iterator[tuple[str, ...]]:
    for it in groups:
        counts = (it.calls, it.hits, it.attempts, it.input_tokens, it.output_tokens)
        yield _shown(it.name), *(f"{count:,}" for count in counts), _cost(it)


def _total(report: Report) -> Group:
    return Group(
        name="total",
        calls=report.calls,
        hits=report.hits,
        attempts=report.attempts,
        input_tokens=report.input_tokens,
        output_tokens=report.output_tokens,
        cost_nanousd=report.cost_nanousd,
        unpriced_attempts=report.unpriced_attempts,
        unknown_attempts=report.unknown_attempts,
    )


def _cost(group: Group) -> str:
    known = _known_nanousd(group)
    is_part = known is not None and (group.unpriced_attempts or group.unknown_attempts)
    return f"{'≥ ' if is_part else ''}{format_usd(known)}"


def _known_nanousd(group: Group) -> int | None:
    """Return the known part of a cost, None where that says nothing."""
    is_whole = not (group.unpriced_attempts or group.unknown_attempts)
    return group.cost_nanousd if is_whole or group.cost_nanousd else None


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
        _csv_usd(_known_nanousd(group)),
        group.unpriced_attempts,
        group.unknown_attempts,
    )


def _csv_prompt_cache(use: PromptCacheUse) -> Iterator[tuple[str | int, ...]]:
    name = _csv_text(use.deployment)
    for section, tokens in (
        ("prompt cache: input", use.input_tokens),
        ("prompt cache: cached", use.cached_input_tokens),
        ("prompt cache: written", use.cache_write_tokens),
    ):
        yield section, name, "", "", use.attempts, tokens, "", "", "", ""
    yield _csv_amount("estimated savings of prompt caches", name, use.estimated_saved_nanousd)


def _csv_amount(section: str, name: str, nanousd: int | None) -> tuple[str, ...]:
    return (section, _csv_text(name), "", "", "", "", "", _csv_usd(nanousd), "", "")


def _csv_text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _csv_usd(nanousd: int | None) -> str:
    """Return exact USD, "" when not known. A number may begin with a minus: it is no text."""
    return "" if nanousd is None else f"{Decimal(nanousd).scaleb(-9):f}"
