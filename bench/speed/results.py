"""Results: one gateway's figures in one round, as lines of JSON, and where they are from."""

import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]


class Result(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One gateway in one round. `figures`: by the names of `FIGURES`; `notes`: why one is missing.

    `version`: the gateway's own; `commit`: of pointsman's sources, `at`: UTC; `machine`: in words;
    `failed`: why there are no figures, empty when there are.
    """

    name: str
    round: int
    at: str
    commit: str
    machine: str
    version: str = ""
    figures: dict[str, float] = {}
    notes: dict[str, str] = {}
    failed: str = ""


def now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def commit() -> str:
    """Return the commit that is checked out; with a plus where src/ differs from it."""
    told = said("git", "rev-parse", "--short", "HEAD") or "unknown"
    return f"{told}+" if said("git", "status", "--porcelain", "--", "src") else told


def machine() -> str:
    """Return the machine in words: cores, processor, system, Python."""
    model = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")
    return ", ".join(
        word
        for word in (
            f"{os.cpu_count()} cores",
            model,
            f"{platform.system()} {platform.release()}",
            f"Python {platform.python_version()}",
        )
        if word
    )


def said(*command: str) -> str:
    """Return what a command prints, in one line; empty where it cannot be run or fails."""
    try:
        told = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return " ".join((told.stdout or told.stderr).split())


def append(path: Path, result: Result) -> None:
    """Add a line; a run that is interrupted keeps what it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(result) + b"\n")


def read(path: Path) -> list[Result]:
    """Return the lines of a file. Raises SystemExit naming a line that is none of ours."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            found.append(msgspec.json.decode(line, type=Result))
        except msgspec.MsgspecError as error:
            raise SystemExit(
                f"{path}, line {number}: {error}; it is not a line of this harness, remove it"
            ) from None
    return found


def rounds(results: Iterable[Result]) -> list[dict[str, Mapping[str, float]]]:
    """Return each round's figures by gateway; gateways that failed in it are not there."""
    found: dict[int, dict[str, Mapping[str, float]]] = {}
    for result in results:
        if not result.failed:
            found.setdefault(result.round, {})[result.name] = result.figures
    return [found[number] for number in sorted(found)]


def names(results: Sequence[Result]) -> Iterator[str]:
    """Yield the gateways in the order of their first appearance."""
    yield from dict.fromkeys(result.name for result in results)
