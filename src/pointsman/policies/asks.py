"""Asks: whether a text asks for what a phrase in it names, or has the phrase stuck onto its ask.

For phrases that nobody has stated; an operator's own rule wherever they stand. It goes by form
alone: who writes a whole sentence about a phrase asks for it, whatever else the text says.
"""

import re

_MARK = "\x00"
_SHORT_WORDS, _SHORT_CHARS = 100, 2_000

_ARTICLES = frozenset({"a", "an", "the", "this", "that", "these", "our", "my", "your", "it"})

# What a question or an order starts with; ours, the commonest alone.
_OPENING_WORDS = (
    "which what who whom whose when where why how is are was were do does did can could would will"
    " should may might has have had tell give show name say list find translate put correct write"
    " rewrite extract explain describe define summarise summarize compute calculate add solve"
    " answer make turn change create choose pick select sort order fix format convert rename count"
    " identify classify complete replace remove round compare spell rephrase shorten help"
)
_OPENERS = frozenset(_OPENING_WORDS.split())
_ENDS = re.compile(
    r"((?<![.!?;])[.!?;]++[\"')\]*`]*+(?!\S)|\n|[()\[\]{}]"
    rf"|(?<={_MARK} )(?=[\s,]*+(?:{'|'.join(sorted(_OPENERS))})\b))"
)
_find_words = re.compile(rf"{_MARK}|\w+").findall
_starts_with_heading = re.compile(rf"[\s#*_]*+{_MARK}[ \t#*_]*+(?:[:\n]|[-\u2013\u2014]+\s)").match


def is_short(text: str, words: int) -> bool:
    """Return whether it can be told of a text what is its ask and what its matter."""
    return words <= _SHORT_WORDS and len(text) <= _SHORT_CHARS


def mark_of(phrase: str) -> str:
    """Return what stands for a phrase where it was found; a word more for one like a sentence."""
    return f" {_MARK} it " if not _ARTICLES.isdisjoint(phrase.split()) else f" {_MARK} "


def is_asked_for(marked: str) -> bool:
    """Return whether a text in lower case asks for the phrases that marks stand for in it.

    It does not where they stand alone, with fewer other words in the sentence than phrases, beside
    a question or an order without them. What a text starts with as its heading is part of its ask.
    """
    if _starts_with_heading(marked):
        return True
    parts = _ENDS.split(marked)
    has_other_ask = False
    for part, end in zip(parts[::2], (*parts[1::2], ""), strict=True):
        words = _find_words(part)
        phrases = words.count(_MARK)
        if phrases and len(words) >= 2 * phrases:
            return True
        if words and not phrases:
            opening = words[words[0] == "please" :][:1]
            has_other_ask |= "?" in end or not _OPENERS.isdisjoint(opening)
    return not has_other_ask
