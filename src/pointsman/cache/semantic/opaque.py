"""Opaque: find what of a text is quoted or code, where every byte counts."""

import re
from typing import NamedTuple

_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})", re.MULTILINE)
_MARK = re.compile(r"""`+|["“”„«»]|'""")
_CLOSES = {'"': '"', "“": "”", "„": "“”", "«": "»"}


class Span(NamedTuple):
    """A piece of a text. `is_opaque`: quoted or code, its marks included."""

    text: str
    is_opaque: bool


def split_fences(text: str) -> list[Span]:
    """Return the text as prose and fenced blocks in turn; an open fence reaches to the end."""
    if "```" not in text and "~~~" not in text:  # as most
        return [Span(text, is_opaque=False)] if text else []
    spans: list[Span] = []
    start = 0
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            _append(spans, text[start : fence.start()], is_opaque=False)
            opened, start = fence, fence.start()
        elif _ends(fence[1], opened[1]):
            _append(spans, text[start : fence.end()], is_opaque=True)
            opened, start = None, fence.end()
    _append(spans, text[start:], is_opaque=opened is not None)
    return spans


def split_quotes(line: str) -> list[Span]:
    """Return the text as prose and quotes in turn: "…", “…”, «…», '…' and `…`.

    An apostrophe opens a quote where a word may begin, and closes it where one may end. A mark
    without its other half is prose. Takes time linear in the text: for each kind of mark the
    places where it may close are looked through once.
    """
    marks = [(found.start(), found[0]) for found in _MARK.finditer(line)]
    closers: dict[str, list[int]] = {}
    for place, mark in reversed(marks):
        if mark != "'" or _may_close(line, place):
            closers.setdefault(mark, []).append(place)
    spans: list[Span] = []
    start = 0
    for place, mark in marks:
        if place < start or (mark == "'" and not _may_open(line, place)):
            continue
        end = _next_closer(closers, mark, place)
        if end is None:
            continue
        _append(spans, line[start:place], is_opaque=False)
        start = end
        _append(spans, line[place:start], is_opaque=True)
    _append(spans, line[start:], is_opaque=False)
    return spans


def _next_closer(closers: dict[str, list[int]], mark: str, place: int) -> int | None:
    ends = _CLOSES.get(mark, mark if mark[0] in "`'" else "")
    kinds = (ends,) if mark[0] == "`" else tuple(ends)
    best: tuple[int, int] | None = None
    for kind in kinds:
        places = closers.get(kind, [])
        while places and places[-1] <= place:
            places.pop()
        if places and (best is None or places[-1] < best[0]):
            best = (places[-1], len(kind))
    return best and best[0] + best[1]


def _may_open(line: str, place: int) -> bool:
    before, after = line[place - 1 : place], line[place + 1 : place + 2]
    return not before.isalnum() and bool(after) and not after.isspace()


def _may_close(line: str, place: int) -> bool:
    before, after = line[place - 1 : place], line[place + 1 : place + 2]
    return bool(before) and not before.isspace() and not after.isalnum()


def _ends(mark: str, opened: str) -> bool:
    return mark[0] == opened[0] and len(mark) >= len(opened)


def _append(spans: list[Span], text: str, *, is_opaque: bool) -> None:
    if text:
        spans.append(Span(text, is_opaque))
