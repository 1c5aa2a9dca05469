"""Every line of the security checklist names its tests, and they are there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- checklist: begin -->", "<!-- checklist: end -->"
LINES_MIN = 40
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[list[str]]:
    """Return the cells of the checklist's table, without its head."""
    table = DOCUMENT.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_line_of_the_checklist_names_tests_that_are_there():
    assert len(rows()) >= LINES_MIN
    for line, _, tests in rows():
        named = NAMED.findall(tests)
        assert named or tests.startswith("not yet: "), line
        for file, function in named:
            assert (ROOT / file).is_file(), f"{line}: {file}"
            assert not function or function in functions(ROOT / file), f"{line}: {function}"


def test_no_line_stands_twice():
    lines = [line for line, *_ in rows()]
    assert len(set(lines)) == len(lines)
