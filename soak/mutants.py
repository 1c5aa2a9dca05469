"""Mutants: sources with one small fault each, made on purpose, that some test has to notice."""

import ast
import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[1]
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
        case ast.Return(value=ast.expr()):
            node.value = ast.Constant(None)
            return "returns None"
        case _:
            return ""


class Workshop:
    """A copy of the sources in which one mutant at a time is put to the test."""

    def __init__(self, folder: Path) -> None:
        self._source = folder / "src"
        shutil.copytree(ROOT / "src", self._source, ignore=shutil.ignore_patterns("__pycache__"))

    def survives(self, mutant: Mutant, tests: Sequence[str], *, limit_s: float) -> bool:
        """Return whether all tests pass with a mutant; one that hangs does not survive."""
        file = self._source / mutant.path.relative_to(ROOT / "src")
        whole = file.read_text("utf-8")
        file.write_text(mutant.source, "utf-8")
        try:
            return self.passes(tests, limit_s=limit_s)
        finally:
            file.write_text(whole, "utf-8")

    def passes(self, tests: Sequence[str], *, limit_s: float) -> bool:
        """Return whether tests pass on these sources."""
        env = {**os.environ, "PYTHONPATH": str(self._source), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        try:
            done = subprocess.run(
                command, cwd=ROOT, env=env, capture_output=True, timeout=limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0
