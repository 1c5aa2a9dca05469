"""Run the goals and print the table: `python -m soak [name ...] [--scale 0.01] [--docs FILE]`.

What a goal has reached is kept in `soak/results.json` until it is measured again, so the table may
be filled goal by goal, and an interrupted run loses only the goal that it was at.
"""

import argparse
import os
import pkgutil
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import msgspec
from tests.docs.marks import write_between

import soak
from soak import Figure

BEGIN, END = "<!-- soak: begin -->", "<!-- soak: end -->"
RESULTS = Path(__file__).with_name("results.json")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a goal has reached: on which day, at which commit, at what share of its full size."""

    day: str
    commit: str
    scale: float
    figures: tuple[Figure, ...]


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
    ran: list[Figure] = []
    for name in given.goals:
        print(f"{name} ...", file=sys.stderr, flush=True)
        began_s = time.monotonic()
        found = measured(name, given.scale)
        ran += found.figures
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        for line in rows(found):
            print(line, file=sys.stderr, flush=True)
        store(name, found)
    text = table(stored())
    print(text)
    if given.docs is not None:
        write_between(given.docs, BEGIN, END, text)
    return 0 if all(figure.is_met for figure in ran) else 1


def stored() -> Mapping[str, Measured]:
    """Return what was measured before, by goal."""
    if not RESULTS.is_file():
        return {}
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Measured])


def store(name: str, found: Measured) -> None:
    """Keep what a goal has reached, beside what others may have stored meanwhile."""
    whole = msgspec.json.encode({**stored(), name: found}, order="sorted")
    RESULTS.write_bytes(msgspec.json.format(whole) + b"\n")


def measured(name: str, scale: float) -> Measured:
    """Measure a goal; one that breaks is told as such, and the others go on."""
    day, at = f"{datetime.now(UTC):%Y-%m-%d}", commit()
    try:
        figures = tuple(import_module(f"soak.{name}").measure(scale))
    except Exception as error:  # whatever it is, it belongs into the table and not over it
        figures = (
            Figure(name, "the measurement itself", "ends", f"{error!r}"[:200], is_met=False),
        )
    return Measured(day=day, commit=at, scale=scale, figures=figures)


def commit() -> str:
    """Return the commit that is checked out."""
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def table(results: Mapping[str, Measured]) -> str:
    """Return the table in Markdown, with the machine."""
    head = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}."
    lines = [
        head,
        "",
        "| goal | what | asked | reached | | measured |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join((*lines, *(line for name in sorted(results) for line in rows(results[name]))))


def rows(found: Measured) -> Iterator[str]:
    """Yield a goal's rows of the table."""
    when = f"{found.day}, {found.commit}"
    if found.scale != 1.0:
        when += f", at {found.scale:g} of the size"
    return (f"{row(figure)} {when} |" for figure in found.figures)


def row(figure: Figure) -> str:
    """Return one row of the table."""
    cells = (figure.goal, figure.what, figure.asked, figure.reached)
    told = (cell.replace("|", "/").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(told)} | {'met' if figure.is_met else '**short**'} |"


if __name__ == "__main__":
    sys.exit(main())
