"""Tokens: a prompt's words in one spelling, its numbers with their units, its quotes as they are.

A token is a word in lower case, or begins with a mark: `#` a number (`#10:km`), `"` a quotation,
`{` code, `@` an identifier, path or other word that is no English. Punctuation that parts a
sentence comes as `,` `:` `;` `?` `(` `)`; the end of one as `|`.
"""

import re
from collections.abc import Callable

from pointsman.cache.semantic.lexicon import (
    IRREGULAR_PLURALS,
    NOT_PLURALS,
    NUMBERS,
    SCALES,
    SYNONYMS,
    UNITS,
    VERB_FORMS,
)
from pointsman.cache.semantic.opaque import split_fences, split_quotes

MARKS = frozenset(",:;?()|")
NUMBER, QUOTE, CODE, NAME = "#", '"', "{", "@"
HARD = (NUMBER, QUOTE, CODE, NAME)

_NUMBER = re.compile(r"([$€£¥]?)(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(%|[a-z°]{0,3})")
_MONEY = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_CONTRACTED = {
    "what's": "what is", "whats": "what is", "who's": "who is", "where's": "where is",
    "how's": "how is", "when's": "when is", "why's": "why is", "that's": "that is",
    "it's": "it is", "there's": "there is", "here's": "here is", "i'm": "i am", "let's": "let us",
    "can't": "can not", "cannot": "can not", "cant": "can not", "won't": "will not",
    "dont": "do not", "doesnt": "does not", "didnt": "did not", "isnt": "is not",
    "shan't": "shall not", "n't": "not", "wont": "will not",
}  # fmt: skip
_TWO_WORDS = {"per": "%", "us": "usd", "US": "usd"}
_ENDINGS = (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"), ("'d", " would"))
_CLOSING = ",.;:!?)]"
_OPENING = "(["


def as_is(words: list[str]) -> list[str]:
    """Return the words: the spelling of one who knows no words."""
    return words


def tokens(prompt: str, spelled: Callable[[list[str]], list[str]] = as_is) -> list[str]:
    """Return the tokens of a normalised prompt, in order. `spelled`: repairs the spelling."""
    found: list[str] = []
    for block in split_fences(prompt):
        if block.is_opaque:
            found.append(CODE + block.text.strip("`~ \n"))
            continue
        for span in split_quotes(block.text):
            if span.is_opaque:
                mark = CODE if span.text[0] == "`" else QUOTE
                found.append(mark + (span.text.strip("`") if mark == CODE else span.text[1:-1]))
            else:
                for word in span.text.split():
                    found += _split(word)
    return _with_numbers(spelled(found))


def _split(word: str) -> list[str]:
    """Return one word between spaces as tokens: its punctuation apart, contractions written out."""
    found: list[str] = []
    while word and word[0] in _OPENING:
        found.append("(")
        word = word[1:]
    tail: list[str] = []
    while word and word[-1] in _CLOSING and not (word[-1] == ")" and "(" in word):
        tail.append({"]": ")", ".": "|", "!": "|"}.get(word[-1], word[-1]))
        word = word[:-1]
    if word:
        found += _core(word)
    return found + tail[::-1]


def _core(word: str) -> list[str]:
    if word in _CONTRACTED:
        return _CONTRACTED[word].split()
    if word.isalpha():
        return [word]
    if number := _number(word):
        return [number]
    for ending, full in _ENDINGS:
        if word.endswith(ending) and word[: -len(ending)].isalpha():
            return (word[: -len(ending)] + full).split()
    if word.endswith("'s") and word[:-2].isalnum():
        return [*_core(word[:-2]), "'s"]
    if word.endswith("s'") and word[:-1].isalpha():
        return [word[:-1], "'s"]
    parts = word.split("-")
    is_compound = len(parts) > 1 and all(part.isalpha() or _is_count(part) for part in parts)
    if is_compound and any(part.isalpha() and len(part) > 1 for part in parts):
        return [token for part in parts for token in _core(part)]
    if word in {"&", "+", "-", "–", "—", "/", "="}:
        return {"&": ["and"], "–": [","], "—": [","]}.get(word, [NAME + word])
    return [NAME + word.strip("#")] if word.strip("#") else [NAME + word]


def _is_count(part: str) -> bool:
    return part.isdigit() and len(part) <= 3


def _number(word: str) -> str:
    """Return a number token, "" when the word is none: `$20,000` is `#20000:dollar`."""
    found = _NUMBER.fullmatch(word)
    if not found:
        return ""
    money, whole, fraction, unit = found.groups()
    name = _MONEY.get(money, "")
    if unit and (name or unit not in UNITS) and (unit != "s" or len(whole) != 3):
        return ""
    if unit == "s" and not name and len(whole) == 3:
        return _counted(whole, "")  # two 502s are two of 502
    return _counted(whole.replace(",", "") + (fraction or ""), name or UNITS.get(unit, ""))


def _counted(digits: str, unit: str) -> str:
    return f"{NUMBER}{digits}:{unit}" if unit else f"{NUMBER}{digits}"


def _with_numbers(found: list[str]) -> list[str]:
    """Return the tokens with numbers in figures, and the unit that follows one joined to it."""
    joined: list[str] = []
    for place, token in enumerate(found):
        last = joined[-1] if joined else ""
        is_bare = last.startswith(NUMBER) and ":" not in last
        if is_bare and token in SCALES and "." not in last:
            joined[-1] = NUMBER + str(int(last[1:]) * SCALES[token])
        elif is_bare and token in UNITS:
            joined[-1] = f"{last}:{UNITS[token]}"
        elif is_bare and token in _TWO_WORDS and _after(found, place) in {"cent", "dollars"}:
            joined[-1] = f"{last}:{_TWO_WORDS[token]}"
        elif token in {"cent", "dollars"} and last.endswith((":%", ":usd")) and place:
            if found[place - 1] not in _TWO_WORDS:
                joined.append(token)
        elif token == "single" and _after(found, place) in _THINGS:  # noqa: S105
            joined.append(f"{NUMBER}1")
        elif token in NUMBERS and (token != "one" or _is_counting(found, place)):  # noqa: S105
            joined.append(NUMBER + str(NUMBERS[token]))
        else:
            joined.append(token)
    return joined


def _after(found: list[str], place: int) -> str:
    return found[place + 1] if place + 1 < len(found) else ""


def _is_counting(found: list[str], place: int) -> bool:
    """Return whether `one` is a number there: one day; not: which one, one of them."""
    before = found[place - 1] if place else ""
    if before in {"which", "the", "this", "that", "another", "each", "every", "no", "any"}:
        return False
    after = _after(found, place)
    return after in UNITS or after in SCALES or after in _THINGS


_THINGS = frozenset({"paragraph", "sentence", "word", "line", "page", "person", "item", "step"})


def lemma(word: str) -> str:
    """Return a word's base form where that is sure: plurals, -s and -ing of listed verbs, synonyms.

    Past forms are kept: who was is not who is.
    """
    if word[0] in HARD or not word.isalpha():
        return word
    if word in VERB_FORMS:
        word = VERB_FORMS[word]
    elif word in IRREGULAR_PLURALS:
        word = IRREGULAR_PLURALS[word]
    else:
        word = singular(word)
    return SYNONYMS.get(word, word)


def singular(word: str) -> str:
    """Return a regular plural's singular, another word as it is."""
    if len(word) < 4 or word[-1] != "s" or word in NOT_PLURALS or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    return word[:-1]
