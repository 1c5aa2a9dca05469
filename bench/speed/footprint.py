"""Footprint: how long a Python that imports pointsman takes, what its core weighs on disk."""

import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from bench.speed import processes
from bench.speed.results import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TRIES = 7


def figures(core: int, tries: int = TRIES) -> dict[str, float]:
    """Return ms of `import pointsman` and `pointsman --help`, packages and MB of the core."""
    python = sys.executable
    program = Path(sysconfig.get_path("scripts")) / "pointsman"
    packages = dict(core_packages("pointsman"))
    return {
        "import_ms": median_ms([python, "-c", "import pointsman"], core, tries),
        "python_ms": median_ms([python, "-c", "pass"], core, tries),
        "help_ms": median_ms([str(program), "--help"], core, tries),
        "packages": len(packages),
        "install_mb": sum(size_bytes(name, found) for name, found in packages.items()) / 1e6,
    }


def median_ms(command: Sequence[str], core: int, tries: int) -> float:
    """Return the median of some runs after one that warms the disk's cache, in ms."""
    took = []
    for _ in range(tries + 1):
        began_s = time.perf_counter()
        subprocess.run(
            [*processes.pinned([core]), *command],
            env=processes.environment(),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        took.append((time.perf_counter() - began_s) * 1e3)
    return sorted(took[1:])[tries // 2]


def core_packages(root: str) -> Iterator[tuple[str, Distribution]]:
    """Yield the installed packages that a package needs without its extras, itself among them."""
    seen: set[tuple[str, frozenset[str]]] = set()
    told: set[str] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(root, frozenset())]
    while waiting:
        name, extras = waiting.pop()
        name = canonicalize_name(name)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if name not in told:
            told.add(name)
            yield name, found
        waiting += needed(found.requires or [], extras)


def needed(requirements: Sequence[str], extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    """Return the requirements that hold here, with the extras that each asks for."""
    found = []
    for requirement in map(Requirement, requirements):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": e}) for e in (extras or {""})):
            found.append((requirement.name, frozenset(requirement.extras)))
    return found


def size_bytes(name: str, found: Distribution) -> int:
    """Return what a package's files take, byte code included; of an editable one, its sources."""
    if name == "pointsman":
        paths = list((ROOT / "src" / "pointsman").rglob("*"))
    else:
        paths = [Path(str(found.locate_file(file))) for file in found.files or ()]
    return sum(path.stat().st_size for path in paths if path.is_file())
