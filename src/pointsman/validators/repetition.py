"""Repetition: a text whose end says the same thing over and over."""

import re
from dataclasses import dataclass
from typing import ClassVar

from pointsman.validators.draft import Ask, Draft
from pointsman.validators.fences import fenced_blocks

# How far back is looked: the work is bounded by it, and so is the unit, to 1,170 characters.
_TAIL_CHARS = 4096
# A stretch that is too long has at least this many characters at its end again one unit before.
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
        for end in dict.fromkeys((text, text.rstrip(_ENDS_OF_SENTENCES))):
            found = _loop(end[-_TAIL_CHARS:], text)
            if found is not None and not _ASKS_FOR_REPETITION.search(ask.features.text):
                period, chars = found
                return f"the last {chars} characters repeat one piece of {period} characters"
        return ""


def _loop(tail: str, text: str) -> tuple[int, int] | None:
    """Return the unit's length and the stretch's, of the longest stretch that is too long."""
    if len(tail) < _PROSE_CHARS:
        return None
    period, chars = _longest_stretch(tail)
    if not period:
        return None
    is_data = _is_data(tail[-period:], text)
    if is_data and (chars < _DATA_CHARS or chars < _DATA_COPIES * period):
        return None
    return period, chars


def _longest_stretch(tail: str) -> tuple[int, int]:
    """Return the smallest period and the length of the longest end that loops as prose, or zeros.

    Of such an end the last characters come again one period before, so only there is looked.
    A longer period that fits into what a shorter one covers beyond itself covers no more.

    Source: Fine and Wilf, "Uniqueness theorems for periodic functions", Proc. AMS 16(1), 1965: two
    periods of a text that is as long as both together have their greatest common divisor for one.
    """
    echo, size = tail[-_ECHO_CHARS:], len(tail)
    farthest = size - _ECHO_CHARS - int(size / _PROSE_COPIES)
    best, longest, period_min = 0, 0, 1
    while (at := tail.rfind(echo, farthest, size - period_min)) >= 0:
        period = size - _ECHO_CHARS - at
        chars = period + _again(tail, period)
        if chars > longest and chars >= max(_PROSE_CHARS, _PROSE_COPIES * period):
            best, longest = period, chars
        period_min = max(period, chars - period) + 1
    return best, longest


def _again(tail: str, period: int) -> int:
    """Return how many characters at the end are the same as those one period before."""
    size = len(tail)
    same, most = _ECHO_CHARS, size - period
    while same < most:
        middle = (same + most + 1) // 2
        if tail[-middle:] == tail[size - period - middle : size - period]:
            same = middle
        else:
            most = middle - 1
    return same


def _is_data(unit: str, text: str) -> bool:
    """Return whether such a unit may repeat rightly. Marks of a chat template never do."""
    prose = _CHAT_MARK.sub("", unit)
    if len(prose) < len(unit):
        return False
    if not _LETTER.search(unit) or unit.count("|") > 1 or text.lstrip()[:1] in ("{", "[", "<"):
        return True
    return any(not block.is_closed for block in fenced_blocks(text))
