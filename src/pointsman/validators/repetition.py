"""Repetition: a text whose end says the same thing over and over."""

import re
from dataclasses import dataclass
from typing import ClassVar

from pointsman.validators.draft import Ask, Draft
from pointsman.validators.fences import fenced_blocks

# How far back is looked: the work is bounded by it, and so is the unit, to 1,170 characters.
_TAIL_CHARS = 4096
# A stretch that repeats at least this long holds this many characters found again further up.
_ECHO_CHARS = 48

# Prose: 200 characters are three lines. Refrains and "very, very, very" are shorter than that,
# or come three times; a fourth paragraph in a row (its last line break may be missing) is a loop.
_PROSE_CHARS = 200
_PROSE_COPIES = 3.5
# Rows, rulers, zeros and markup repeat rightly: 2,000 characters are a screenful of nothing new.
_DATA_CHARS = 2000
_DATA_COPIES = 8

_LETTER = re.compile(r"[^\W\d_]")
_CHAT_MARK = re.compile(r"<\|\w{1,40}\|>")
_ENDS_OF_SENTENCES = ".!?…"
_ASKS_FOR_REPETITION = re.compile(
    r"\b(?:repeat|over and over|(?:\d+|ten|twenty|fifty|hundred|thousand) (?:times|copies)\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Repetition:
    """Rejects a text, whole or not, that ends in copies of one unit, character for character.

    In prose 200 characters and 3.5 copies are enough; in data (no letters, table rows, JSON, HTML,
    an open code block) it takes 2,000 characters and 8 copies. Numbering makes copies differ.
    """

    name: ClassVar[str] = "repetition"

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return a reason with the unit's length and the number of its copies."""
        text = draft.text.rstrip()
        blank = len(draft.text) - len(text)
        if blank >= _DATA_CHARS:
            return f"the text ends in {blank} blank characters"
        for end in (text, text.rstrip(_ENDS_OF_SENTENCES)):
            found = _loop(end[-_TAIL_CHARS:], text)
            if found is not None and not _ASKS_FOR_REPETITION.search(ask.features.text):
                period, chars = found
                return f"the last {chars} characters repeat one piece of {period} characters"
        return ""


def _loop(tail: str, text: str) -> tuple[int, int] | None:
    """Return the unit's length and the stretch's, of the longest stretch that is too long."""
    echo = tail[-_ECHO_CHARS:]
    if len(tail) < _PROSE_CHARS or tail.find(echo) == len(tail) - len(echo):
        return None  # the common case, at the speed of one search
    stretches = _periodic_ends(tail)
    prose = [it for it in stretches if it[1] >= max(_PROSE_CHARS, _PROSE_COPIES * it[0])]
    if not prose:
        return None
    period, chars = max(prose, key=lambda it: it[1])
    is_data = _is_data(tail[-period:], text)
    if is_data and (chars < _DATA_CHARS or chars < _DATA_COPIES * period):
        return None
    return period, chars


def _periodic_ends(tail: str) -> list[tuple[int, int]]:
    """Return (smallest period, length) for each end of `tail`, the shortest end first.

    Source: Knuth, Morris and Pratt, 1977: the failure function, here of the text read backwards.
    Each step of the inner loop undoes one of the outer, so it is linear.
    """
    backwards = tail[::-1]
    borders = [0] * len(backwards)
    border = 0
    for i in range(1, len(backwards)):
        while border and backwards[i] != backwards[border]:
            border = borders[border - 1]
        if backwards[i] == backwards[border]:
            border += 1
        borders[i] = border
    return [(i + 1 - border, i + 1) for i, border in enumerate(borders)]


def _is_data(unit: str, text: str) -> bool:
    """Return whether such a unit may repeat rightly. Marks of a chat template never do."""
    prose = _CHAT_MARK.sub("", unit)
    if len(prose) < len(unit):
        return False
    if not _LETTER.search(unit) or unit.count("|") > 1 or text.lstrip()[:1] in ("{", "[", "<"):
        return True
    return any(not block.is_closed for block in fenced_blocks(text))
