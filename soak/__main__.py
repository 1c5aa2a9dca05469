"""Run the goals and print the table: `python -m soak [name ...] [--scale 0.01] [--docs FILE]`."""

import argparse
import os
import pkgutil
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from tests.docs.marks import write_between

import soak
from soak import Figure

BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"


def main() -> int:
    """Return 0 when every goal that ran is met."""
    known = sorted(m.name for m in pkgutil.iter_modules(soak.__path__) if m.name.startswith("g"))
    parser = argparse.ArgumentParser(prog="python -m soak", description=soak.__doc__)
    parser.add_argument("goals", nargs="*", default=known, help=f"of {', '.join(known)}")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--docs", type=Path, help="write the table into this document")
    given = parser.parse_args()
    if unknown := set(given.goals) - set(known):
        parser.error(f"no goal {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    figures: list[Figure] = []
    for name in given.goals:
        print(f"{name} ...", file=sys.stderr, flush=True)
        began_s = time.monotonic()
        figures += measured(name, given.scale)
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        for figure in figures[-1:]:
            print(row(figure), file=sys.stderr, flush=True)
    text = table(figures, given.scale)
    print(text)
    if given.docs is not None:
        write_between(given.docs, BEGIN, END, text)
    return 0 if all(figure.is_met for figure in figures) else 1


def measured(name: str, scale: float) -> list[Figure]:
    """Return a goal's figures; one that breaks is told as such, and the others go on."""
    try:
        found: list[Figure] = import_module(f"soak.{name}").measure(scale)
    except Exception as error:  # whatever it is, it belongs into the table and not over it
        return [Figure(name, "the measurement itself", "ends", f"{error!r}"[:200], is_met=False)]
    return found


def table(figures: list[Figure], scale: float) -> str:
    """Return the table in Markdown, with the day and the machine."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    head = (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit or 'unknown'}, {os.cpu_count()} cores,"
        f" {platform.system()}, Python {platform.python_version()}"
    )
    if scale != 1.0:
        head += f"; at {scale:g} of the full size"
    lines = [f"{head}.", "", "| goal | what | asked | reached | |", "|---|---|---|---|---|"]
    return "\n".join((*lines, *map(row, figures)))


def row(figure: Figure) -> str:
    """Return one row of the table."""
    cells = (figure.goal, figure.what, figure.asked, figure.reached)
    told = (cell.replace("|", "/").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(told)} | {'met' if figure.is_met else '**short**'} |"


if __name__ == "__main__":
    sys.exit(main())
