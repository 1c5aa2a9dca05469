"""G12: which branches the tests of the riskiest parts reach, and which faults they notice.

Branches by coverage.py, each part by its own tests. Faults: a sample of mutants, each tried on its
part's tests, beginning with those that reach its line.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from coverage import Coverage, CoverageData

from soak import Figure
from soak.mutants import ROOT, Mutant, mutants, survivors

MUTANTS = 300
KILLED_MIN = 0.9
_COVER_LIMIT_S = 1_800.0
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Part:
    """Modules, below `src/pointsman`, and the tests that are theirs."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


PARTS: Mapping[str, Part] = {
    "ledger": Part(
        ("ledger/*.py",),
        (
            "tests/ledger", "tests/contracts/test_ledgers.py",
            "tests/contracts/test_ledger_labels.py", "tests/properties/test_budgets.py",
            "tests/server/test_contents.py", "tests/server/test_idempotency.py",
            "tests/pipeline/test_budgets.py", "tests/pipeline/test_rerouting.py",
        ),
    ),
    "auth": Part(
        ("access/*.py", "server/auth.py"),
        ("tests/access", "tests/server/test_auth.py", "tests/server/test_keys.py"),
    ),
    "retry": Part(
        ("gate/*.py", "core/health.py", "attempt.py", "deadline.py"),
        (
            "tests/core/test_health.py", "tests/properties/test_health.py", "tests/pipeline",
            "tests/audit", "tests/test_deadline.py",
        ),
    ),
    "SSE": Part(
        ("core/wire/sse.py", "core/wire/sse_decoder.py"),
        ("tests/core/wire/test_sse.py", "tests/core/wire/test_sse_decoder.py"),
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Covered:
    """What tests reach of a part. `missing`: lines and branches, as `file:line`, that none does.

    `reached_by`: the test files that reach a line.
    """

    branches: int
    branches_reached: int
    missing: tuple[str, ...]
    reached_by: Mapping[tuple[Path, int], tuple[str, ...]]


def measure(scale: float = 1.0, *, seed: int = 1) -> list[Figure]:
    """Return the branches reached of each part, and the mutants killed of all."""
    figures: list[Figure] = []
    chosen: list[tuple[Mutant, tuple[str, ...]]] = []
    rng = Random(seed)
    count = max(8, round(MUTANTS * scale))
    sources = {name: sorted(_files(part)) for name, part in PARTS.items()}
    lines = {
        name: sum(len(f.read_text().splitlines()) for f in files) for name, files in sources.items()
    }
    for name, part in PARTS.items():
        covered = cover(part)
        share = covered.branches_reached / max(1, covered.branches)
        told = f"{share:.1%} ({covered.branches_reached} of {covered.branches})"
        if covered.missing:
            told += f"; not reached: {', '.join(covered.missing[:_SHOWN])}"
        figures.append(Figure("G12", f"branches of {name}", "100%", told, not covered.missing))
        made = [mutant for file in sources[name] for mutant in mutants(file)]
        quota = max(2, round(count * lines[name] / sum(lines.values())))
        chosen += [
            (mutant, _first(covered.reached_by.get((mutant.path, mutant.line), ()), part.tests))
            for mutant in rng.sample(made, min(quota, len(made)))
        ]
    return [*figures, _killed(chosen)]


def _first(reaching: tuple[str, ...], tests: tuple[str, ...]) -> tuple[str, ...]:
    """Return a part's tests, those first that reach the line.

    What runs at import, or in others' tasks, no single test is known to reach.
    """
    return (*reaching, *(test for test in tests if test not in reaching))


def _killed(chosen: list[tuple[Mutant, tuple[str, ...]]]) -> Figure:
    """Return how many mutants some test notices."""
    kept = Path(tempfile.gettempdir()) / "pointsman-mutants.jsonl"  # an interrupted run goes on
    alive = survivors(chosen, kept)
    killed = len(chosen) - len(alive)
    told = f"{killed / len(chosen):.1%} ({killed} of {len(chosen)})"
    return Figure(
        "G12", "mutants killed", f">= {KILLED_MIN:.0%}", told, killed / len(chosen) >= KILLED_MIN
    )


def cover(part: Part) -> Covered:
    """Run a part's tests and return what they reach of it. Raises RuntimeError where one fails."""
    with tempfile.TemporaryDirectory() as folder:
        data_file, rc_file = Path(folder) / "data", Path(folder) / "rc"
        report = Path(folder) / "report.json"
        include = ",".join(f"src/pointsman/{module}" for module in part.modules)
        rc_file.write_text(
            f"[run]\nbranch = True\ndata_file = {data_file}\ninclude = {include}\n[report]\n"
            "exclude_also =\n    if TYPE_CHECKING:\n    \\.\\.\\.$\n    assert_never\n"
            "    raise AssertionError\n",
            "utf-8",
        )
        command = [sys.executable, "-m", "coverage"]
        pytest = ["-m", "pytest", "-q", "-p", __name__]
        ran = subprocess.run(
            [*command, "run", f"--rcfile={rc_file}", *pytest, *part.tests],
            cwd=ROOT, capture_output=True, timeout=_COVER_LIMIT_S, check=False,
        )  # fmt: skip
        if ran.returncode:
            raise RuntimeError(ran.stdout.decode()[-500:])
        subprocess.run(
            [*command, "json", "-q", f"--rcfile={rc_file}", "-o", str(report)], cwd=ROOT, check=True
        )
        files = json.loads(report.read_text("utf-8"))["files"]
        return Covered(
            branches=sum(told["summary"]["num_branches"] for told in files.values()),
            branches_reached=sum(told["summary"]["covered_branches"] for told in files.values()),
            missing=tuple(_missing(files)),
            reached_by=_reached_by(data_file),
        )


def pytest_runtest_logstart(nodeid: str) -> None:
    """Have coverage.py book what is reached from here on for the file of this test.

    This module is a plugin of the runs it starts. A context for each function, which coverage.py
    itself offers, changes with every await, and loses what another thread reaches meanwhile.
    """
    measuring = Coverage.current()
    if measuring is not None:
        measuring.switch_context(nodeid.partition("::")[0])


def _missing(files: Mapping[str, dict[str, list[int]]]) -> list[str]:
    found: list[str] = []
    for name, told in files.items():
        short = name.removeprefix("src/pointsman/")
        found += [f"{short}:{line}" for line in told["missing_lines"]]
        branches: list[list[int]] = told["missing_branches"]  # type: ignore[assignment]
        gone = set(told["missing_lines"])
        found += [f"{short}:{a}->{b}" for a, b in branches if a not in gone and b not in gone]
    return found


def _reached_by(data_file: Path) -> Mapping[tuple[Path, int], tuple[str, ...]]:
    """Return the test files that reach each line; "" is the context of what runs at import."""
    data = CoverageData(str(data_file))
    data.read()
    return {
        (Path(name), line): tuple(sorted(filter(None, contexts)))
        for name in data.measured_files()
        for line, contexts in data.contexts_by_lineno(name).items()
    }


def _files(part: Part) -> list[Path]:
    return [file for module in part.modules for file in (ROOT / "src" / "pointsman").glob(module)]
