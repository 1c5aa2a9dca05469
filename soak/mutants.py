"""Mutants: sources with one small fault each, made on purpose, that some test has to notice.

    python -m soak.mutants src/pointsman/access/*.py --tests tests/access --count 100

tries a sample of them, tells of each, and goes on where it was stopped (`--kept`).
"""

import argparse
import ast
import compileall
import copy
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from random import Random
from typing import NoReturn

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]
LIMIT_S = 300.0
# How long tests may take without a mutant; with one, so many times as long as they took then.
_WHOLE_LIMIT_S = 3_600.0
_SLOWER_MAX = 3.0
# One test that takes so long with a mutant has noticed it; whole, none takes a tenth of that.
_TEST_LIMIT_S = 60
# A loop without an end fills memory before its time is up.
_MEMORY_BYTES_MAX = 8 * 1024**3
# What pytest ends with where it was asked for what is not there, or found no test; "": it is gone.
_NOTHING_TRIED = frozenset({"4", "5", ""})
_OPTIONS = (
    "-x", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:xdist",
    "-p", "soak.mutants", "-W", "ignore::pytest.PytestAssertRewriteWarning",
    "--hypothesis-seed=1", f"--timeout={_TEST_LIMIT_S}",
)  # fmt: skip
# Imported once for all mutants.
_SHARED = ("hypothesis.strategies", "hypothesis.core", "pytest_asyncio", "aiohttp", "msgspec")
_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
# A log's words, and an assertion's, are no behaviour that a test has to hold.
_UNMINDED = frozenset({"debug", "info", "warning", "error", "exception", "log"})


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with a fault at `line`; `what` says which."""

    path: Path
    line: int
    what: str
    source: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} {self.what}"


def mutants(path: Path) -> list[Mutant]:
    """Return every mutant of a module, in the order of its lines."""
    tree = ast.parse(path.read_text("utf-8"))
    unminded, found = _unminded(tree), list[Mutant]()
    for place, node in enumerate(ast.walk(tree)):
        if place in unminded or not _change(copy.copy(node)):
            continue
        changed = copy.deepcopy(tree)
        what = _change(next(islice(ast.walk(changed), place, None)))
        source = ast.unparse(ast.fix_missing_locations(changed))
        found.append(Mutant(path, getattr(node, "lineno", 0), what, source))
    return sorted(found, key=lambda mutant: mutant.line)


def _unminded(tree: ast.Module) -> frozenset[int]:
    """Return the places, in walking order, of annotations, assertions, logging and type aliases."""
    hidden: set[int] = set()
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        match node:
            case ast.Assert():
                parts = [node]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                parts = [node.returns, *node.decorator_list]
            case ast.arg() | ast.AnnAssign():
                parts = [node.annotation]
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name))) if name in _UNMINDED:
                parts = [node]
            case ast.JoinedStr() | ast.ImportFrom() | ast.Import():
                parts = [node]
        hidden.update(id(below) for part in parts if part for below in ast.walk(part))
    return frozenset(place for place, node in enumerate(ast.walk(tree)) if id(node) in hidden)


def _change(node: ast.AST) -> str:
    """Put a fault into a node and return which, "" where it takes none."""
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _SWAPPED:
            node.ops = [_SWAPPED[type(operator)]()]  # type: ignore[list-item]
            return f"{type(operator).__name__} -> {type(node.ops[0]).__name__}"
        case ast.BinOp(op=operator) | ast.BoolOp(op=operator) | ast.AugAssign(op=operator) if (
            type(operator) in _SWAPPED
        ):
            node.op = _SWAPPED[type(operator)]()  # type: ignore[assignment]
            return f"{type(operator).__name__} -> {type(node.op).__name__}"
        case ast.Constant(value=bool() as value):
            node.value = not value
            return f"{value} -> {not value}"
        case ast.Constant(value=int() as whole):
            node.value = whole + 1
            return f"{whole} -> {whole + 1}"
        case ast.If() | ast.While() | ast.IfExp():
            node.test = ast.UnaryOp(ast.Not(), node.test)
            return "condition inverted"
        case ast.Expr(value=ast.Call() | ast.Await()):
            node.value = ast.Constant(None)
            return "call left out"
        case ast.Return(value=ast.Constant(value=None)):
            return ""
        case ast.Return(value=ast.expr()):
            node.value = ast.Constant(None)
            return "returns None"
        case _:
            return ""


class Workshop:
    """A copy of the sources in which one mutant at a time is put to the test. Close it."""

    def __init__(self, folder: Path) -> None:
        self._source, self._said = folder / "src", folder / "said"
        shutil.copytree(ROOT / "src", self._source, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(self._source, quiet=1)
        # No example that fails by a mutant is kept among the project's own.
        env = {
            **os.environ, "PYTHONPATH": str(self._source), "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "examples"),
        }  # fmt: skip
        self._runner = subprocess.Popen(
            [sys.executable, "-c", "from soak.mutants import run_tests; run_tests()"],
            cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def close(self) -> None:
        """Let go of the process that runs the tests."""
        self._runner.communicate()

    def survives(self, mutant: Mutant, tests: Sequence[str], *, limit_s: float = LIMIT_S) -> bool:
        """Return whether all tests pass with a mutant; one that hangs does not survive."""
        file = self._source / mutant.path.relative_to(ROOT / "src")
        whole = file.read_text("utf-8")
        file.write_text(mutant.source, "utf-8")
        try:
            return self.passes(tests, limit_s=limit_s)
        finally:
            file.write_text(whole, "utf-8")

    def passes(self, tests: Sequence[str], *, limit_s: float = LIMIT_S) -> bool:
        """Return whether tests pass on these sources, in the order given.

        Raises RuntimeError where none was run.
        """
        asked = json.dumps([[*_OPTIONS, *tests], str(self._said), limit_s])
        assert self._runner.stdin is not None
        assert self._runner.stdout is not None
        self._runner.stdin.write(f"{asked}\n")
        self._runner.stdin.flush()
        code = self._runner.stdout.readline().strip()
        if code in _NOTHING_TRIED:
            raise RuntimeError(f"no test was run: {self.said()}")
        return code == "0"

    def said(self) -> str:
        """Return the end of what the last tests wrote."""
        return self._said.read_text("utf-8", "replace")[-1_000:] if self._said.exists() else ""


def run_tests() -> None:
    """Run pytest for each line that comes, [arguments, file for its words, seconds]; print codes.

    Each in a fork, after `_SHARED`, which takes longer to import than most tests take.
    """
    for name in _SHARED:
        import_module(name)
    for line in sys.stdin:
        arguments, said, limit_s = json.loads(line)
        child = os.fork()
        if child == 0:
            _run_here(arguments, said)
        try:
            code = _waited_for(child, time.monotonic() + limit_s)
        finally:
            # All of its group: a server that a test has started goes with it.
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        print(code, flush=True)


def _run_here(arguments: list[str], said: str) -> NoReturn:
    """Run pytest in this process and end it; nothing in it outlives the process's group."""
    code = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        code = int(pytest.main(arguments))
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _waited_for(child: int, deadline_s: float) -> int:
    """Return the code that a child ends with; it is killed at its deadline."""
    while time.monotonic() < deadline_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def pytest_configure() -> None:
    """Have Hypothesis stop at the first failure, as pytest calls it: nobody reads a smaller one."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", hypothesis.settings(), phases=phases)
    hypothesis.settings.load_profile("mutants")


class Verdicts:
    """What became of mutants, a line of JSON each, so that a run that was stopped can go on.

    A verdict holds for the same mutated source and the same tests, to the byte.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[str, bool] = {}
        if file is not None and file.is_file():
            for line in file.read_text("utf-8").splitlines():
                told = json.loads(line)
                self._known[told["id"]] = told["survives"]

    def survives(
        self, shop: Workshop, mutant: Mutant, tests: Sequence[str], *, limit_s: float = LIMIT_S
    ) -> bool:
        """Return whether a mutant survives tests, by trying them where that is not known yet."""
        made = _identity(mutant, tests)
        if made not in self._known:
            self._known[made] = shop.survives(mutant, tests, limit_s=limit_s)
            if self._file is not None:
                told = {"id": made, "survives": self._known[made], "mutant": str(mutant)}
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(told) + "\n")
        return self._known[made]


def survivors(
    chosen: Iterable[tuple[Mutant, Sequence[str]]], kept: Path | None = None
) -> list[Mutant]:
    """Return which mutants survive their tests; tell of each on standard error, one after another.

    Raises RuntimeError where tests fail without any mutant: then they say nothing of one.
    """
    verdicts, survived, trials = Verdicts(kept), list[Mutant](), list(chosen)
    with tempfile.TemporaryDirectory() as folder, closing(Workshop(Path(folder))) as shop:
        began_s = time.monotonic()
        every = sorted({test for _, tests in trials for test in tests})
        if not shop.passes(every, limit_s=_WHOLE_LIMIT_S):
            raise RuntimeError(f"tests fail on whole sources: {shop.said()}")
        limit_s = max(LIMIT_S, _SLOWER_MAX * (time.monotonic() - began_s))
        for number, (mutant, tests) in enumerate(trials, 1):
            began_s = time.monotonic()
            is_alive = verdicts.survives(shop, mutant, tests, limit_s=limit_s)
            survived += [mutant] * is_alive
            told = f"{'SURVIVED' if is_alive else 'killed'} in {time.monotonic() - began_s:.1f} s"
            print(f"{number}/{len(trials)} {told}: {mutant}", file=sys.stderr, flush=True)
    return survived


def _identity(mutant: Mutant, tests: Sequence[str]) -> str:
    """Return what stands for a mutated module and the tests that it is put to."""
    made = hashlib.sha256(f"{mutant.path}\0{mutant.source}".encode())
    for test in tests:
        file = ROOT / test.partition("::")[0]
        for one in sorted(file.rglob("*.py")) if file.is_dir() else [file]:
            made.update(f"\0{test}\0".encode() + one.read_bytes())
    return made.hexdigest()[:16]


def main() -> None:
    """Try a sample of mutants and print what share of them is killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="+", type=Path)
    parser.add_argument("--tests", nargs="+", required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kept", type=Path, help="file of verdicts, to go on with")
    asked = parser.parse_args()
    made = [mutant for module in sorted(asked.modules) for mutant in mutants(module.resolve())]
    chosen = Random(asked.seed).sample(made, min(asked.count, len(made)))
    alive = survivors([(mutant, asked.tests) for mutant in chosen], asked.kept)
    killed = len(chosen) - len(alive)
    print(f"killed {killed} of {len(chosen)} ({killed / len(chosen):.1%}) of {len(made)} there are")


if __name__ == "__main__":
    main()
