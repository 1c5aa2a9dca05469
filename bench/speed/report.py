"""Report: the targets' table and the gateways' table, in Markdown."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.speed.results import Result, names, rounds
from bench.speed.targets import LIMIT, OWN, TARGETS, Figures, Reached, Round, Target, reached


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the gateways' table; `is_ratio`: also told as a multiple of nginx's."""

    title: str
    figure: str
    digits: int
    is_ratio: bool = False


COLUMNS = (
    Column("CPU per request, ms", "cpu_ms", 3, is_ratio=True),
    Column("requests/s, one core", "rps", 0),
    Column("CPU per cache hit, ms", "hit_cpu_ms", 3, is_ratio=True),
    Column("CPU per stream, ms", "stream_cpu_ms", 2, is_ratio=True),
    Column("translated stream, ms", "translated_cpu_ms", 2, is_ratio=True),
    Column("CPU per 100 kB request, ms", "large_cpu_ms", 3, is_ratio=True),
    Column("added TTFT p50, ms", "stream_added_ttft_p50_ms", 2),
    Column("added p50 at 200/s, ms", "rate200_added_p50_ms", 2),
    Column("reads per stream", "stream_reads", 0),
    Column("memory at the end, MB", "memory_end_mb", 0),
    Column("cold start, s", "cold_start_s", 2),
    Column("errors", "errors", 0),
)
# A column's multiple is of another figure of nginx's, which has no cache and translates nothing.
LIMIT_FIGURES = {"hit_cpu_ms": "cpu_ms", "translated_cpu_ms": "stream_cpu_ms"}


def preamble(results: Sequence[Result], command: str) -> str:
    """Return on what, when and with what was measured."""
    last = results[-1]
    count = max(result.round for result in results) + 1
    versions = {result.name: result.version for result in results if result.version}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"`{command}`, {last.at[:10]}, commit {last.commit}, {count} round"
        f"{'' if count == 1 else 's'}; {last.machine}; {told}."
    )


def targets_table(results: Sequence[Result], targets: Sequence[Target] = TARGETS) -> str:
    """Return must, aim, what was reached and the spread, row by row."""
    found = rounds(results)
    notes = {
        name: note
        for result in results
        if result.name == OWN
        for name, note in result.notes.items()
    }
    head = ["| path | | must | aim | reached | spread | |", "|---|---|---|---|---|---|---|"]
    return "\n".join((*head, *(_target_row(target, found, notes) for target in targets)))


def _target_row(target: Target, found: Sequence[Round], notes: Mapping[str, str]) -> str:
    sign = ">=" if target.is_floor else "<="
    unit = "x" if target.unit == "x" else f" {target.unit}".rstrip()
    must = f"{sign} {number(target.must)}{unit}"
    aim = "" if target.aim is None else f"{number(target.aim)}{unit}"
    row = reached(target, found)
    if row is None:
        why = notes.get("workers", "") if "workers" in target.path else ""
        return (
            f"| {target.path} | {target.what} | {must} | {aim} | {why or 'not in this run'} | | |"
        )
    spread = f"{number(row.least)} .. {number(row.greatest)}" if row.rounds > 1 else ""
    return (
        f"| {target.path} | {target.what} | {must} | {aim} | {number(row.median)}{unit} "
        f"| {spread} | {_verdict(row)} |"
    )


def _verdict(row: Reached) -> str:
    return "**short**" if row.verdict == "short" else row.verdict


def gateways_table(results: Sequence[Result], titles: Mapping[str, str]) -> str:
    """Return each gateway's medians, with multiples of nginx's."""
    found = rounds(results)
    limit = medians(found, LIMIT)
    head = "| gateway | " + " | ".join(column.title for column in COLUMNS) + " |"
    lines = [head, "|---" * (len(COLUMNS) + 1) + "|"]
    failures = {}
    for name in names(results):
        figures = medians(found, name)
        if not figures:
            failures[name] = next(r.failed for r in results if r.name == name)
            continue
        version = next((r.version for r in results if r.name == name and r.version), "")
        cells = (cell(column, figures, limit, is_limit=name == LIMIT) for column in COLUMNS)
        lines.append(f"| {titles.get(name, name)} {version} | {' | '.join(cells)} |")
    for name, why in failures.items():
        lines += ["", f"Not measured: {titles.get(name, name)}: {' '.join(why.split())[:300]}"]
    return "\n".join(lines)


def cell(column: Column, figures: Figures, limit: Figures, *, is_limit: bool) -> str:
    value = figures.get(column.figure)
    if value is None:
        return ""
    text = f"{value:,.{column.digits}f}"
    base = limit.get(LIMIT_FIGURES.get(column.figure, column.figure))
    if not column.is_ratio or is_limit or not base:
        return text
    return f"{text} ({number(value / base)}x)"


def medians(found: Sequence[Round], name: str) -> dict[str, float]:
    """Return the medians of a gateway's figures over the rounds that have them."""
    every = [figures[name] for figures in found if name in figures]
    keys = dict.fromkeys(key for figures in every for key in figures)
    return {key: statistics.median(f[key] for f in every if key in f) for key in keys}


def number(value: float) -> str:
    """Return a figure with three digits that say something; whole from a hundred on."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else _small(value)


def _small(value: float) -> str:
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.4f}"


def failures(results: Sequence[Result]) -> Iterator[str]:
    """Yield what went wrong, a line each."""
    for result in results:
        if result.failed:
            yield f"{result.name}, round {result.round}: {result.failed}"
        for name, note in result.notes.items():
            yield f"{result.name}, round {result.round}, {name}: {note}"
