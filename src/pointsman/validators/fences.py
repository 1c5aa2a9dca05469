"""Fences: the fenced code blocks of a Markdown text, found in one pass."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Source: CommonMark 0.31, section 4.5, but for the indent: in a list a fence may stand further in.
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One block: `language` is the first word after the fence in lower case, "" for none."""

    language: str
    code: str
    is_closed: bool


def fenced_blocks(text: str) -> Iterator[Block]:
    """Yield the blocks in order; the last one may not be closed."""
    if "```" not in text and "~~~" not in text:
        return
    opening: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opening is None:
            opening = fence
        elif _closes(fence, opening):
            yield Block(_language(opening), text[opening.end() + 1 : fence.start()], is_closed=True)
            opening = None
    if opening is not None:
        yield Block(_language(opening), text[opening.end() + 1 :], is_closed=False)


def _closes(fence: re.Match[str], opening: re.Match[str]) -> bool:
    return fence[1].startswith(opening[1]) and not fence[2].strip()


def _language(opening: re.Match[str]) -> str:
    words = opening[2].split(maxsplit=1)
    return words[0].lower().strip("{}.,:") if words else ""
