"""Code block: code in a fence that does not parse in the language the fence names."""

import ast
import re
import sys
import threading
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from textwrap import dedent
from typing import ClassVar

import msgspec

from pointsman.validators.draft import Ask, Draft, short_reason
from pointsman.validators.fences import Block, fenced_blocks

# What one draft is judged by; the rest is taken as it is.
_CODE_CHARS_MAX = 100_000
_BLOCKS_MAX = 100
_BLOCKS_SEEN_MAX = 1000
# tomllib is quadratic in the parts of one dotted key.
_TOML_DOTS_MAX = 200

# Marks of something that is not meant to be parsed as it stands.
_ELIDED = ("...", "…")
_SESSION = re.compile(
    r"^[ \t]*(?:>>>|\.\.\.|[%!?]|\$ |In ?\[\d|Out\[\d|Traceback \(most)", re.MULTILINE
)
_HELP_SUFFIX = re.compile(r"^[ \t]*[\w.]+\?{1,2}[ \t]*$", re.MULTILINE)
_SHOWS_AN_ERROR = re.compile(r"SyntaxError|IndentationError|TabError")
_MIDDLE_OF_A_STATEMENT = re.compile(r"\s*(?:elif|else|except|finally|case)\b")
_PYTHON_2 = re.compile(r"\bpython ?2", re.IGNORECASE)
# PEP 695, 750 and 758: valid where the code will run, though perhaps not here.
_NEWER_PYTHON = re.compile(
    r"^[ \t]*type \w+|\b(?:def|class) \w+\[|\bt[\"']|^[ \t]*except\*? \w+,", re.MULTILINE
)
_JSON_COMMENT = re.compile(r"(?:^|\s)(?://|#)|/\*")
_PLACEHOLDER = re.compile(r"<[A-Za-z_]|\{\{|\$\{")

# `warnings.catch_warnings` changes the process, so two threads must not be in it at once.
_QUIET = threading.Lock()


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Rejects a whole answer with a closed Python, JSON or TOML block that does not parse.

    Not judged: sessions, magics, elisions, excerpts, code quoted from the ask, code that shows a
    syntax error, and what is too large or too deep. A Python 2 `print` is rejected unless the ask
    speaks of Python 2. A last fence that is not closed is not judged.
    """

    name: ClassVar[str] = "code_block"

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return which block fails, its language and the parser's word."""
        if not draft.is_whole:
            return ""
        blocks = _first_blocks(draft.text)
        if not blocks or _SHOWS_AN_ERROR.search(ask.features.text):
            return ""
        chars, judged = 0, 0
        for number, block in enumerate(blocks, start=1):
            judge = _JUDGES.get(block.language)
            if judge is None or not _can_be_judged(block, ask):
                continue
            chars, judged = chars + len(block.code), judged + 1
            if chars > _CODE_CHARS_MAX or judged > _BLOCKS_MAX:
                return ""
            if problem := judge(dedent(block.code), ask):
                return short_reason(f"code block {number} is not {block.language}: {problem}")
        return ""


def _first_blocks(text: str) -> list[Block]:
    return list(islice(fenced_blocks(text), _BLOCKS_SEEN_MAX))


def _can_be_judged(block: Block, ask: Ask) -> bool:
    code = block.code.strip()
    return (
        block.is_closed
        and 0 < len(code) <= _CODE_CHARS_MAX
        and not any(mark in code for mark in _ELIDED)
        and code not in ask.features.text
    )


def _python_problem(code: str, ask: Ask) -> str:
    if (
        _SESSION.search(code)
        or _HELP_SUFFIX.search(code)
        or _SHOWS_AN_ERROR.search(code)
        or _MIDDLE_OF_A_STATEMENT.match(code)
        or _PYTHON_2.search(ask.features.text)
    ):
        return ""
    try:
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except SyntaxError as error:
        return "" if _may_be_valid(error, code) else f"{error.msg}, line {error.lineno}"
    except (RecursionError, MemoryError, ValueError, SystemError):
        # Too deep for the parser, or a null byte: says nothing about the code. Nor does what Python
        # before 3.11.8 raises where another thread parses too (CPython's issue 106905, read
        # 2026-11-23).
        pass
    return ""


def _may_be_valid(error: SyntaxError, code: str) -> bool:
    """Return whether the fault may be this parser's limits, its age, or an excerpt's last line."""
    message = error.msg
    if message.startswith("too many") or "null bytes" in message:
        return True  # the latter is a ValueError, not judged either, before Python 3.11.4
    if sys.version_info < (3, 12) and message.startswith("f-string"):
        return True  # PEP 701 allows there what older parsers do not
    if message.startswith("expected an indented block"):
        last = code.rstrip().splitlines()[-1].lstrip()
        return last.endswith(":") or last.startswith("#")  # a signature alone, or a skeleton
    return _NEWER_PYTHON.search(code) is not None


def _json_problem(code: str, ask: Ask) -> str:
    if _JSON_COMMENT.search(code) or _PLACEHOLDER.search(code):
        return ""
    problem = _json_error(code)
    # One value to a line, or the members of an object without its braces, are common excerpts.
    excerpt = "{" + code.strip().rstrip(",") + "}"
    if not problem or not _json_error(excerpt) or not any(map(_json_error, _lines(code))):
        return ""
    return problem


def _json_error(text: str) -> str:
    try:
        msgspec.json.decode(text)
    except (RecursionError, msgspec.ValidationError):
        return ""  # too deep, or a number out of range: it parses
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        return str(error)
    return ""


def _lines(code: str) -> list[str]:
    return [line for line in code.splitlines() if line.strip()]


def _toml_problem(code: str, ask: Ask) -> str:
    if _PLACEHOLDER.search(code) or any(line.count(".") > _TOML_DOTS_MAX for line in _lines(code)):
        return ""
    try:
        tomllib.loads(code)
    except tomllib.TOMLDecodeError as error:
        return str(error)
    except (RecursionError, ValueError):
        pass  # too deep, or a number that Python will not convert
    return ""


_JUDGES: Mapping[str, Callable[[str, Ask], str]] = {
    "python": _python_problem,
    "python3": _python_problem,
    "py": _python_problem,
    "json": _json_problem,
    "toml": _toml_problem,
}
