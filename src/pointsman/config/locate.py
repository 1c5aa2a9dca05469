"""Locate: on which line of a TOML text each key stands. `tomllib` does not say.

Reads only texts that `tomllib` has accepted, so it need not judge: it skips over values and keeps
count of lines, tables and arrays. Source: TOML 1.0.0, https://toml.io/en/v1.0.0.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_DEPTH_MAX = 64

_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
# Up to two quotes may stand just before the three that close.
_LONG_BASIC = re.compile(r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''(?:[^']|'{1,2}(?!'))*'{3,5}", re.DOTALL)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


def locate(text: str) -> Mapping[KeyPath, int]:
    """Return the line, from 1, of every key and array element by its path in the parsed document.

    A table that is opened more than once has its first line. `text` is valid TOML.
    Raises RecursionError for keys nested deeper than anybody means.
    """
    return _Locator(text).run()


class _Locator:
    """A cursor over the text, and what it has passed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted_to = 0
        self._line = 1
        self._lines: dict[KeyPath, int] = {}
        self._tables_seen: dict[KeyPath, int] = {}

    def run(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        self._skip(_BLANK_LINES)
        while self._at < len(self._text):
            if self._text.startswith("[[", self._at):
                table = self._header(brackets=2)
            elif self._text.startswith("[", self._at):
                table = self._header(brackets=1)
            else:
                self._pair(table)
            self._skip(_BLANK_LINES)
        return self._lines

    def _header(self, *, brackets: int) -> KeyPath:
        line = self._line_now()
        self._at += brackets
        keys = self._dotted_key()
        self._at += brackets
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._latest((*path, key))
            self._note(path, line)
        path = (*path, keys[-1])
        self._note(path, line)
        if brackets == 1:
            return self._latest(path)
        index = self._tables_seen.get(path, 0)
        self._tables_seen[path] = index + 1
        self._note((*path, index), line)
        return (*path, index)

    def _latest(self, path: KeyPath) -> KeyPath:
        """Return the table that `path` means: of an array of tables, the last one so far."""
        seen = self._tables_seen.get(path)
        return path if seen is None else (*path, seen - 1)

    def _pair(self, table: KeyPath) -> None:
        line = self._line_now()
        path = table
        for key in self._dotted_key():
            path = (*path, key)
            self._note(path, line)
        self._at += len("=")
        self._skip(_BLANK)
        self._value(path)

    def _note(self, path: KeyPath, line: int) -> None:
        if len(path) > _DEPTH_MAX:  # paths share nothing, so deep ones would fill the memory
            raise RecursionError(f"keys are nested more than {_DEPTH_MAX} deep")
        self._lines.setdefault(path, line)

    def _dotted_key(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_BLANK)
            match self._text[self._at]:
                case '"':
                    quoted = self._take(_BASIC)
                    keys.append(tomllib.loads(f"key = {quoted}")["key"])
                case "'":
                    keys.append(self._take(_LITERAL)[1:-1])
                case _:
                    keys.append(self._take(_BARE_KEY))
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return keys
            self._at += len(".")

    def _value(self, path: KeyPath) -> None:
        match self._text[self._at]:
            case "[":
                self._array(path)
            case "{":
                self._inline_table(path)
            case '"':
                is_long = self._text.startswith('"""', self._at)
                self._take(_LONG_BASIC if is_long else _BASIC)
            case "'":
                is_long = self._text.startswith("'''", self._at)
                self._take(_LONG_LITERAL if is_long else _LITERAL)
            case _:
                self._take(_BARE_VALUE)

    def _array(self, path: KeyPath) -> None:
        index = 0
        self._open_or_next()
        while self._text[self._at] != "]":
            self._note((*path, index), self._line_now())
            self._value((*path, index))
            index += 1
            self._skip(_BLANK_LINES)
            if self._text[self._at] == ",":
                self._open_or_next()
        self._at += len("]")

    def _inline_table(self, path: KeyPath) -> None:
        self._open_or_next()
        while self._text[self._at] != "}":
            self._pair(path)
            self._skip(_BLANK_LINES)  # TOML 1.1 allows line breaks here
            if self._text[self._at] == ",":
                self._open_or_next()
        self._at += len("}")

    def _open_or_next(self) -> None:
        self._at += len("[")
        self._skip(_BLANK_LINES)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        assert found is not None, "blanks may be none at all"
        self._at = found.end()

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None, "tomllib accepted what stands here"
        self._at = found.end()
        return found.group()

    def _line_now(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._line
