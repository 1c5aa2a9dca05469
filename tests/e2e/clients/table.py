"""Write what the clients did into docs/clients.md: `python -m tests.e2e.clients.table`.

The table stands between two marks; the rest of the page is written by hand.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from tests.docs.marks import write_between
from tests.e2e.clients.catalogue import RESULTS, ROOT, Client, clients
from tests.e2e.clients.tasks import Asked

PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- written by make e2e -->", "<!-- end -->"
# The columns: how the page calls a task, and the tasks that it holds.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "plain": ("plain",),
    "stream": ("stream",),
    "tool": ("tool",),
    "tool, streamed": ("tool stream",),
    "thinking": ("thinking", "thinking stream"),
    "object": ("data", "data stream"),
    "count": ("count",),
    "unknown model": ("missing",),
}


def main() -> None:
    outcomes = read_outcomes(RESULTS.read_text("utf-8").splitlines())
    table = "\n".join(lines(clients(), outcomes, day_of(RESULTS)))
    write_between(PAGE, BEGIN, END, table)
    sys.stdout.write(f"{table}\n")


def day_of(file: Path) -> date:
    """Return the day on which a file was last written."""
    return datetime.fromtimestamp(file.stat().st_mtime, tz=UTC).date()


def read_outcomes(rows: Sequence[str]) -> dict[Asked, str]:
    """Return each case's outcome: pass, fail or skip; the last one counts."""
    outcomes = {}
    for row in map(json.loads, rows):
        outcome = row.pop("outcome")
        outcomes[Asked(**row)] = outcome
    return outcomes


def lines(named: Sequence[Client], outcomes: Mapping[Asked, str], day: date) -> Iterator[str]:
    """Yield the table: a line for each client, its dialect and the upstream's."""
    counts = {kind: sum(o == kind for o in outcomes.values()) for kind in ("pass", "fail", "skip")}
    ended = f"{counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped"
    yield f"The latest outcome of each case, {day.isoformat()}: {ended}."
    yield ""
    yield f"| client | dialect in | upstream | {' | '.join(COLUMNS)} |"
    yield "|" + "---|" * (3 + len(COLUMNS))
    for client in named:
        name = f"{client.title} {client.version}"
        ways = {(case.dialect, case.upstream) for case in outcomes if case.client == client.name}
        if not ways:
            yield f"| {name} | {', '.join(client.dialects)} | not installed |" + " |" * len(COLUMNS)
        for dialect, upstream in sorted(ways):
            cells = (
                cell(outcomes.get(Asked(client.name, dialect, upstream, task)) for task in tasks)
                for tasks in COLUMNS.values()
            )
            yield f"| {name} | {dialect} | {upstream} | {' | '.join(cells)} |"


def cell(outcomes: Iterable[str | None]) -> str:
    """Return the worst of some outcomes, nothing where there is none."""
    seen = set(outcomes)
    return next((kind for kind in ("fail", "skip", "pass") if kind in seen), "")


if __name__ == "__main__":
    main()
