"""Run the fault matrix and print it, cell by cell: `python -m tests.faults.table [--docs FILE]`."""

import argparse
import asyncio
import logging
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.docs.marks import write_between
from tests.faults.cells import MODES, Case, Cell, NotHere
from tests.faults.matrix import CASES, CELLS, ROWS
from tests.faults.spoken import DIALECTS

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
PASS, FAIL, NOT_APPLICABLE, NOT_HERE = "pass", "**fail**", "n.a.", "not here"
CELL_S = 60.0
NAMES = {
    1: "429 with Retry-After",
    2: "429 without, or of a spent account",
    3: "500, 502, 503, 504, 529",
    4: "refused, DNS, TLS",
    5: "400, 413, 422",
    6: "upstream 401, 403, 404",
    7: "hang before content",
    8: "hang mid-stream",
    9: "reset",
    10: "truncated or malformed",
    11: "SSE split anywhere",
    12: "huge reply",
    13: "error inside a 200",
    14: "empty content",
    15: "content filter",
    16: "context length exceeded",
    17: "client disconnects",
    18: "slow reader",
    19: "SIGTERM under load",
    20: "SIGKILL under load",
    21: "disk full",
    22: "ledger locked",
    25: "clock ±1 h",
    26: "reload",
    27: "all targets down",
    28: "flapping provider",
    29: "identical at once",
    30: "cache corruption",
    31: "idle streams",
    32: "long run",
}


def main() -> int:
    """Return 0 when no cell fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.table", description=__doc__)
    parser.add_argument("--docs", type=Path, help="write the table into this document")
    parser.add_argument("--row", type=int, choices=ROWS, action="append", help="this row alone")
    given = parser.parse_args()
    if given.docs is not None and given.row:
        parser.error("--docs takes the whole matrix; leave --row out")
    cells = [cell for cell in CELLS if not given.row or cell.case.row in given.row]
    logging.getLogger("pointsman").addHandler(logging.NullHandler())
    began_s = time.monotonic()
    results = {cell: outcome(cell) for cell in cells}
    text = table(results, time.monotonic() - began_s)
    sys.stdout.write(f"{text}\n")
    if given.docs is not None:
        write_between(given.docs, BEGIN, END, text)
    return 1 if FAIL in results.values() else 0


def outcome(cell: Cell) -> str:
    """Run a cell on an event loop of its own; what is wrong with it goes to standard error."""
    try:
        with asyncio.Runner() as runner:
            runner.run(asyncio.wait_for(cell.run(), CELL_S))
    except NotHere as reason:
        sys.stderr.write(f"{cell.name}: {reason}\n")
        return NOT_HERE
    except Exception:  # whatever it is, the cell fails and the others go on
        sys.stderr.write(f"{cell.name}:\n{traceback.format_exc()}\n")
        return FAIL
    return PASS


def table(results: dict[Cell, str], took_s: float) -> str:
    """Return the table in Markdown, with the day, the machine and the sum."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    kinds = list(results.values())
    counted = ", ".join(
        f"{kinds.count(kind)} {word}"
        for kind, word in ((PASS, "pass"), (FAIL, "fail"), (NOT_HERE, "cannot be made here"))
        if kind in (PASS, FAIL) or kind in kinds
    )
    head = (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}, {os.cpu_count()} cores,"
        f" {platform.system()}, Python {platform.python_version()}:"
        f" {len(kinds)} cells in {took_s:.0f} s, {counted}."
    )
    columns = [f"{dialect.name} {mode}" for dialect in DIALECTS for mode in MODES]
    lines = [
        head,
        "",
        f"| row | case | {' | '.join(columns)} |",
        "|---|---|" + "---|" * len(columns),
    ]
    ran = {cell.case for cell in results}
    lines += [line(case, results) for case in CASES if case in ran]
    return "\n".join([*lines, "", *why_not([case for case in CASES if case in ran])])


def line(case: Case, results: dict[Cell, str]) -> str:
    """Return one case's line."""
    cells = (Cell(case, dialect, mode) for dialect in DIALECTS for mode in MODES)
    told = " | ".join(results.get(cell, NOT_APPLICABLE) for cell in cells)
    return f"| {case.row} {NAMES[case.row]} | {case.name} | {told} |"


def why_not(cases: Sequence[Case]) -> list[str]:
    """Return why some cells are left out, each reason once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        for mode in MODES:
            if mode not in case.modes:
                named = f"{case.row} ({case.name})"
                reasons.setdefault((mode, case.why_not), []).append(named)
    return [
        f"- n.a. {mode}: {', '.join(names)}: {reason}." for (mode, reason), names in reasons.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
