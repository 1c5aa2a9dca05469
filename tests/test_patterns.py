"""No regular expression takes more than in proportion to the text that it is given.

Each is run by the methods that the code calls on it, on texts that are made to mislead it, of which
each is four times as long as the one before. In proportion means four times the steps; a pattern
that goes back over what it has read takes sixteen times as many. The steps are not to be had from
Python's `re`, so the processor time stands for them, of the best of several runs, and nothing is
said of runs so short that a clock tells little.
"""

import ast
import importlib
import pkgutil
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pointsman

SRC = Path(pointsman.__file__).parent
SIZES = (500, 2_000, 8_000, 32_000)
METHODS = ("search", "match", "fullmatch", "sub", "findall", "finditer", "split")
TOO_SHORT_S = 0.003
# Steep, and only ever given what the operator has written: no client reaches them.
OPERATORS = {
    "pointsman.compare.streams._MARK.finditer": "lines of the operator's own logs",
    "pointsman.config.locate._BASIC.search": "lines of the operator's own configuration",
}
GROWTH_MAX = 9.0  # between 4, in proportion, and 16, as the square
SINGLES = "aAz0 \n\t\r\"'\\[]{}()<>.,:;-_`~/%=#*|!?é字\u0130\u200b"


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(pointsman.__path__, "pointsman."):
        if found.name != "pointsman.__main__":
            yield importlib.import_module(found.name)


def patterns_in(value: object, depth: int = 2) -> Iterator[re.Pattern[Any]]:
    match value:
        case re.Pattern():
            yield value
        case dict():
            yield from patterns_in(list(value.values()), depth)
        case list() | tuple() | set() | frozenset() if depth:
            for each in value:
                yield from patterns_in(each, depth - 1)
        case _:
            pass


def called() -> dict[str, set[str]]:
    """Return which methods are called on each name, and on the literal patterns of `re` itself."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=attr),
                    args=[ast.Constant(value=str(pattern)), *_],
                ) if attr in METHODS:
                    found[pattern].add(attr)
                case ast.Attribute(value=ast.Name(id=name), attr=attr) if attr in METHODS:
                    found[name].add(attr)
                case ast.Attribute(value=ast.Attribute(attr=name), attr=attr) if attr in METHODS:
                    found[name].add(attr)
                case _:
                    pass
    return found


def collected() -> dict[tuple[re.Pattern[Any], str], str]:
    """Return every pattern with every way in which it is used, and where it is."""
    uses, found = called(), {}
    for module in modules():
        for name, value in vars(module).items():
            for pattern in patterns_in(value):
                for method in uses.get(name) or {"search"}:
                    found[pattern, method] = f"{module.__name__}.{name}"
    for literal, methods in uses.items():
        if not literal.isidentifier():
            found |= {(re.compile(literal), method): repr(literal) for method in methods}
    return found


def misleading(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield how texts for a pattern begin, go on, and end."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode()
    words = list(dict.fromkeys(re.findall(r"[A-Za-z]{2,}|`{2,}|\*{2,}|-{2,}", source)))[:4]
    for single in SINGLES:
        yield "", single, "\x00"
    for word in words:
        yield "", word, ""
        yield "", f"{word} ", "\x00"
        for single in ' a0\n"':
            yield word, single, "\x00"
    for pair in ("a ", " \n", '\\"', "a.", "a-", "0.", "a\n", "\n#", '{"', "a=", "./", "é "):
        yield "", pair, "\x00"


def seconds(run: Callable[[Any], Any], text: str | bytes, tries: int = 2) -> float:
    """Return the processor time of the best of a few runs."""
    best = float("inf")
    for _ in range(tries):
        began_s = time.process_time()
        run(text)
        best = min(best, time.process_time() - began_s)
        if best < TOO_SHORT_S / 4:
            break
    return best


def runner(pattern: re.Pattern[Any], method: str) -> Callable[[Any], Any]:
    match method:
        case "sub":
            return lambda text: pattern.sub(text[:0], text)
        case "finditer":
            return lambda text: sum(1 for _ in pattern.finditer(text))
        case _:
            return getattr(pattern, method)  # type: ignore[no-any-return]


def growth(pattern: re.Pattern[Any], method: str) -> tuple[float, str]:
    """Return the steepest growth between two sizes, and of what text."""
    run, steepest, of = runner(pattern, method), 0.0, ""
    for start, middle, end in misleading(pattern):
        before_s = 0.0
        for size in SIZES:
            text: Any = start + middle * (size // len(middle)) + end
            if isinstance(pattern.pattern, bytes):
                text = text.encode()
            took_s = seconds(run, text)
            if before_s > TOO_SHORT_S / 4 and took_s > TOO_SHORT_S:
                if took_s / before_s > steepest:
                    steepest, of = took_s / before_s, f"{start!r} {middle!r} * {size}"
                if steepest > GROWTH_MAX:
                    return steepest, of
            before_s = took_s
    return steepest, of


def test_no_pattern_takes_more_than_in_proportion():
    found = collected()
    assert len(found) > 80, "the patterns are found"
    steep = {}
    assert set(OPERATORS) <= {f"{where}.{method}" for (_, method), where in found.items()}
    for (pattern, method), where in found.items():
        if f"{where}.{method}" in OPERATORS:
            continue
        # What is steep by chance is not so three times.
        ratios = [growth(pattern, method)]
        while ratios[-1][0] > GROWTH_MAX and len(ratios) < 3:
            ratios.append(growth(pattern, method))
        if ratios[-1][0] > GROWTH_MAX:
            steep[f"{where}.{method}"] = ratios[-1]
    assert steep == {}


@pytest.mark.parametrize("bad", [r"\s+x", r"a.*!", r"\d*\.\d*!"])
def test_a_steep_pattern_is_found(bad: str):
    ratio, _ = growth(re.compile(bad), "search")
    assert ratio > GROWTH_MAX
