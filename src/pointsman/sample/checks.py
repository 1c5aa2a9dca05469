"""Checks: say whether a model's answer to a chore is right. Pure, and blind to the request.

They forgive form (a preface, a code fence, quotes, bold marks, a full stop), never content. None
of them looks for the expected text just anywhere: an answer that repeats the request is wrong.
"""

import json
import re
from collections.abc import Iterator
from itertools import takewhile
from typing import TypeAlias, assert_never

import msgspec

_LINE_CHARS_MAX = 300
_ITEM_CHARS_MAX = 20
_NUMBER_TOLERANCE = 1e-6

_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_QUOTED = re.compile(r'"([^"\n]+)"|`([^`\n]+)`|\*\*([^*\n]+)\*\*|(?<!\w)\'([^\n]+?)\'(?!\w)')
_LEADS_TO_RESULT = re.compile(r":\s|\s(?:is|are|becomes|would be)\s|\s?(?:->|=>|→)\s?|\s=\s")
_IS_DATA = re.compile(r"[{}<>]")
_BULLET = re.compile(r"^\s*(?:[-*•+]|\d{1,2}[.)])\s+")
_NUMBER = re.compile(
    r"(?<![\w.])[-−]?(\d[\d,]*(?:\.\d+)?)"
    r"(?=$|[^\w]|(?:ms|s|sec|min|h|kg|g|km|m|cm|mm|ml|l|[KMG]i?B)\b)"
)
_NEGATED = re.compile(r"(?:\bnot|n't|\bnever|\brather than|\binstead of)(?: an?| the)?\s*[\"'`*]*$")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_RULER = re.compile(r"^[\s|:-]+$")
_STRAIGHT = str.maketrans("‘’“”−", "''\"\"-")  # noqa: RUF001 - typographic forms of plain marks


class _Check(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


class Exact(_Check, frozen=True, tag="exact"):
    """The answer gives one of these texts, alone or as what a sentence leads to."""

    any_of: tuple[str, ...]
    is_case_free: bool = False


class Lines(_Check, frozen=True, tag="lines"):
    """The answer, or a code block in it, is this text line by line; both kinds of quotes count."""

    text: str


class Number(_Check, frozen=True, tag="number"):
    """The first or the last line with numbers in it ends its numbers with this one."""

    value: float


class Words(_Check, frozen=True, tag="words"):
    """The first sentence says one of these, unnegated, and no rival. Case does not matter."""

    any_of: tuple[str, ...]
    none_of: tuple[str, ...] = ()


class Json(_Check, frozen=True, tag="json"):
    """The first or the last JSON value in the answer is one of these; 30 and "30" are equal."""

    any_of: tuple[object, ...]


class Items(_Check, frozen=True, tag="items"):
    """The answer lists these and nothing else, as JSON, lines, bullets or between commas.

    Case does not matter; the order only where `is_ordered`.
    """

    items: tuple[str, ...]
    is_ordered: bool = False


class Table(_Check, frozen=True, tag="table"):
    """The answer has a Markdown table with these rows of cells, the heading first."""

    rows: tuple[tuple[str, ...], ...]


Check: TypeAlias = Exact | Lines | Number | Words | Json | Items | Table


def accepts(check: Check, answer: str) -> bool:
    """Return whether the answer is right."""
    answer = answer.translate(_STRAIGHT).strip()
    match check:
        case Exact(any_of=wanted, is_case_free=is_case_free):
            return _gives(answer, wanted, is_case_free=is_case_free)
        case Lines(text=text):
            return any(_code(piece) == _code(text) for piece in (answer, *_FENCED.findall(answer)))
        case Number(value=value):
            return any(abs(found - value) <= _NUMBER_TOLERANCE for found in _results(answer))
        case Words(any_of=wanted, none_of=rivals):
            line = _statement(answer)
            return any(_says(line, word) for word in wanted) and not any(
                _names(line, word) for word in rivals
            )
        case Json(any_of=values):
            found = list(_json_values(answer))
            ends = (*found[:1], *found[-1:])
            return any(_alike(it, value) for it in ends for value in values)
        case Items(items=items, is_ordered=is_ordered):
            expected = _in_order([_plain(it) for it in items], is_ordered=is_ordered)
            return any(
                _in_order(found, is_ordered=is_ordered) == expected for found in _lists(answer)
            )
        case Table(rows=rows):
            return _rows(answer) == rows
        case _:
            assert_never(check)


def _gives(answer: str, wanted: tuple[str, ...], *, is_case_free: bool) -> bool:
    expected = {_tidy(text) for text in wanted}
    given = {_tidy(piece) for piece in _pieces(answer)}
    if is_case_free:
        return bool({it.casefold() for it in expected} & {it.casefold() for it in given})
    return bool(expected & given)


def _pieces(answer: str) -> Iterator[str]:
    """Yield what an answer may mean as its result: itself, code, quotes, the end of a sentence."""
    yield answer
    yield from _FENCED.findall(answer)
    lines = _lines(answer)
    for line in (*lines[:2], *lines[-1:]):
        yield line
        yield _BULLET.sub("", line)
        if not _IS_DATA.search(line):
            yield from (next(filter(None, groups)) for groups in _QUOTED.findall(line))
        for found in _LEADS_TO_RESULT.finditer(line):
            yield line[found.end() :]
            yield line[found.end() :].partition(". ")[0]


def _tidy(text: str) -> str:
    """Return the text on one line, without marks around it and a full stop behind it."""
    text = " ".join(text.split())
    for _ in range(3):
        text = text.strip("\"'`* ").removesuffix(".")
    return text


def _code(text: str) -> list[str]:
    lines = (line.rstrip().replace('"', "'") for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("```")]


def _lines(answer: str) -> list[str]:
    """Return the lines that hold something, without fences."""
    lines = (line.strip() for line in answer.splitlines())
    return [line for line in lines if line and not line.startswith("```")]


def _statement(answer: str) -> str:
    """Return the first sentence after a mere preface ("Here it is:", "Sure!"); a list whole.

    Who lists all the options has not chosen one.
    """
    lines = _lines(answer)
    if len(lines) > 1 and lines[0].endswith(":") and not _SENTENCE_END.search(lines[0]):
        lines = lines[1:]
    items = list(takewhile(_is_item, lines))
    if items:
        return " ".join(items)[:_LINE_CHARS_MAX]
    sentences = _SENTENCE_END.split(lines[0][:_LINE_CHARS_MAX]) if lines else [""]
    return next((it for it in sentences if not it.endswith("!")), sentences[0])


def _is_item(line: str) -> bool:
    return len(line) <= _ITEM_CHARS_MAX or _BULLET.match(line) is not None


def _occurrences(line: str, word: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", line, re.IGNORECASE)


def _names(line: str, word: str) -> bool:
    return any(True for _ in _occurrences(line, word))


def _says(line: str, word: str) -> bool:
    return any(not _NEGATED.search(line[: found.start()]) for found in _occurrences(line, word))


def _results(answer: str) -> Iterator[float]:
    numbered = [found for line in _lines(answer) if (found := _numbers(line))]
    yield from (numbers[-1] for numbers in (*numbered[:1], *numbered[-1:]))


def _numbers(line: str) -> list[float]:
    return [
        float(found[1].replace(",", "")) * (-1 if found[0].startswith("-") else 1)
        for found in _NUMBER.finditer(line)
    ]


def _json_values(answer: str) -> Iterator[object]:
    """Yield the outermost objects and arrays in the text."""
    decoder, start = json.JSONDecoder(), 0
    while (found := re.compile(r"[{\[]").search(answer, start)) is not None:
        try:
            value, start = decoder.raw_decode(answer, found.start())
        except (ValueError, RecursionError):
            start = found.end()
        else:
            yield value


def _alike(found: object, wanted: object) -> bool:
    match found, wanted:
        case dict(), dict():
            return found.keys() == wanted.keys() and all(_alike(found[k], wanted[k]) for k in found)
        case list(), list():
            return len(found) == len(wanted) and all(map(_alike, found, wanted))
        case (dict() | list(), _) | (_, dict() | list()):
            return False
        case _:
            return _scalar(found) == _scalar(wanted)


def _scalar(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _lists(answer: str) -> Iterator[list[str]]:
    """Yield the readings of an answer as a list."""
    for value in _json_values(answer):
        if isinstance(value, list):
            yield [_plain(str(it)) for it in value]
    lines = _lines(answer)
    for part in (lines, lines[1:]):
        yield [_plain(_BULLET.sub("", line)) for line in part]
    for line in lines[:2]:
        starts = (0, *(found.end() for found in _LEADS_TO_RESULT.finditer(line)))
        for start in starts:
            bare = line[start:].strip("[]() .")
            yield [_plain(it) for it in re.split(r",\s*(?:and\s)?|\sand\s|;\s*", bare)]


def _plain(item: str) -> str:
    return _tidy(item).strip("<>,;").casefold()


def _in_order(items: list[str], *, is_ordered: bool) -> list[str]:
    return items if is_ordered else sorted(items)


def _rows(answer: str) -> tuple[tuple[str, ...], ...]:
    tabular = [line for line in _lines(answer) if "|" in line and not _RULER.match(line)]
    return tuple(tuple(_tidy(c) for c in line.strip("|").split("|")) for line in tabular)
