"""Refusal: an answer that declines an ask in which the policy found no harm. English only."""

import re
from dataclasses import dataclass
from typing import ClassVar

from pointsman.validators.draft import Ask, Draft

# A refusal says so at once; what stands later belongs to an answer.
_WINDOW_CHARS = 300
_BEFORE_THE_FIRST_WORD = " \t\r\n*_>#\"'\u2018\u2019\u201c\u201d"
# One character becomes one, so that the opening is full exactly when the window is. Blanks are all
# of which Unicode says so: the last of them is U+3000.
_STRAIGHT = str.maketrans("\u2018\u2019\u02bc\u201c\u201d", "'''\"\"") | {
    blank: " " for blank in range(0x3001) if chr(blank).isspace()
}

_SORRY = (
    r"(?:(?:i'?m|i am|we're|we are) (?:very |really |so |truly |terribly )?(?:sorry|afraid)"
    r"|sorry|(?:my )?apologies|i (?:must |do )?apologi[sz]e|unfortunately"
    r"|as an? (?:ai|artificial intelligence|(?:large )?language model)\b[^,.!?:;]{0,60})"
    r"[,.!;:]*(?: -| –| —)? (?:but |that |however,? )?"
)
_UNABLE = (
    r"(?:i|we)(?: (?:can't|cannot and will not|cannot|can not|won't|will not|am not able to"
    r"|am unable to|are unable to"
    r"|must decline to|have to decline to|refuse to)|'m not able to|'m unable to|'re unable to)"
    r" (?:be able to |really |currently |just |in good conscience )?"
)
_UNEASY = r"(?:i|we)(?:(?:'m| am|'re| are) not| (?:don't|do not) feel) comfortable\b"
_HELP = (
    r"(?:help|assist|comply|fulfill?|provide|answer|support|participate|engage|discuss|share|offer"
    r"|give|complete|respond|advise|recommend|condone|encourage|promote|facilitate|accommodate"
    r"|proceed|continue|do (?:that|this|so))\b"
)
# After "I can't write" a file or a test may follow, so here an apology or such an object is needed.
_MAKE = r"(?:create|write|generate|produce|make)\b"
_CONTENT = r" (?:content|material|that|this|such|any|anything|explicit|instructions|code for)\b"
_REFUSES = re.compile(
    rf"(?:{_SORRY}){{0,2}}{_UNABLE}{_HELP}|(?:{_SORRY}){{1,2}}{_UNABLE}{_MAKE}"
    rf"|{_UNABLE}{_MAKE}{_CONTENT}|(?:{_SORRY}){{0,2}}{_UNEASY}"
)
_FIRST_LETTERS = frozenset("aimsuwAIMSUW")  # of everything above
# The sentence ends right after: nothing that follows makes it an answer.
_FLATLY = re.compile(
    r"(?: you)?(?: with| to| on)?(?: (?:that|this|it|(?:that|this|such|such an?|your)"
    r" (?:specific |particular )?(?:kind of |type of |sort of )?"
    r"(?:request|question|task|topic|query|matter)s?))?(?: at this time)?(?P<end>[.!]|$)"
)
_GOES_ON = re.compile(
    r"\b(?:but|however|instead|here's|here is|here are|that said|nevertheless|nonetheless"
    r"|you (?:can|could|may|might|should)|i can|i could|try|let's|below|because|since|unless"
    r"|until|without)\b|:\s|```"
)
_OFFERS_ANOTHER_TOPIC = re.compile(
    r"\b(?:something|anything) else\b|\bother (?:questions?|topics?)"
)
# Such an ask may be answered by a text that declines or apologises: a letter, a translation.
_IS_ABOUT_REFUSING = re.compile(
    r"\b(?:declin|refus|reject|apolog|turn(?:ing)? down|sorry|say(?:ing)? no\b|excuse)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Rejects an answer that begins by declining, where `ask.decision.is_harmless`.

    A flat "I can't help with that." is known at its full stop. Anything longer is known once 300
    characters have come, or the end, without turning to an answer ("but", "here is", "you can").
    """

    name: ClassVar[str] = "refusal"

    def check(self, draft: Draft, ask: Ask) -> str:
        """Return a reason when the opening declines and does not go on to answer."""
        text = draft.text.lstrip(_BEFORE_THE_FIRST_WORD)[:_WINDOW_CHARS]
        if draft.tool_calls or not ask.decision.is_harmless:
            return ""
        if not _opens_declining(text, is_final=draft.is_whole):
            return ""
        if _IS_ABOUT_REFUSING.search(ask.features.text):
            return ""
        return "the answer refuses, and nothing in the ask calls for that"


def declines(answer: str) -> bool:
    """Return whether a whole answer begins by declining, whatever was asked."""
    text = answer[: 2 * _WINDOW_CHARS].lstrip(_BEFORE_THE_FIRST_WORD)[:_WINDOW_CHARS]
    return _opens_declining(text, is_final=True)


def _opens_declining(text: str, *, is_final: bool) -> bool:
    if text[:1] not in _FIRST_LETTERS:
        return False
    opening = _opening(text)
    is_final = is_final or len(opening) == _WINDOW_CHARS
    found = _REFUSES.match(opening)
    return found is not None and _declines(opening, found.end(), is_final=is_final)


def _opening(text: str) -> str:
    """Return the first 300 characters in lower case, quotes and blanks made plain."""
    return text.translate(_STRAIGHT).lower()[:_WINDOW_CHARS]


def _declines(opening: str, start: int, *, is_final: bool) -> bool:
    flatly = _FLATLY.match(opening, start)
    if flatly is not None and flatly["end"]:
        return True
    if not is_final:
        return False
    rest = opening[start:]
    return _GOES_ON.search(rest) is None or _OFFERS_ANOTHER_TOPIC.search(rest) is not None
