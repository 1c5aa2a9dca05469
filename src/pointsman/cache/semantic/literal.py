"""Literal: what of a prompt its normal form leaves out, and still may change its answer.

Whoever asks about letters, spaces or marks, or brings a text to work on, means them as they stand;
and some words are others when their first letter is a capital. Such prompts share an answer only
where they are the same in this too. Rules of English spelling, erring on the side of asking anew.
"""

import re
import unicodedata

from pointsman.cache.semantic.language import words
from pointsman.cache.semantic.normal import normalised

# The text itself is what is asked about: how it is written, counted, encoded, said again.
_ABOUT_FORM = re.compile(
    r"""\b(?:
        capital(?:s|i[sz]\w*|\ letters?) | (?:upper|lower|title|camel|snake|kebab)[\ -]?case\w*
      | casing | (?:letter|character|char|vowel|consonant|syllable|symbol|glyph|emoji)s?
      | (?:white)?spaces? | punctuat\w+ | commas? | proof-?read\w* | spell\w* | grammar\w*
      | typos? | regex\w* | regexps? | (?:en|de)cod\w+ | hash\w* | sha-?\d* | md5 | crc\d*
      | base-?64 | rot-?13 | cipher\w* | encrypt\w* | ascii | unicode | utf-?\d+ | substrings?
      | strings? | revers\w+ | repeat\w* | echo | verbatim | literally | rewrit\w+ | re-?writ\w+
      | rephras\w+ | paraphras\w+ | anagrams? | palindromes? | transcri\w+ | renam\w+
      | sort | alphabeti\w+ | word\ count | count\ the | how\ many\ words | length\ of
      | sentences? | exactly | polite\w* | pronounc\w+ | abbreviat\w+ | acronyms? | stands?\ for
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)
# Behind a colon stands a text to work on, but for what only leads to the question.
_MATERIAL = re.compile(r":\s+(?=\S)")
_LEADS = re.compile(
    r"(?:(?:(?:just )?(?:a|one) )?(?:quick |short |simple )?question|(?:hi|hello|hey)\b[^:]{0,20})",
    re.IGNORECASE,
)
_WORD = re.compile(r"\S+")
_EDGES = "\"'()[],.;:?!"

# Other words with a capital than without: names of places, people, months, firms and products.
_TWO_WORDS = words(
    """amazon apple april august bath bill bologna boulder buffalo chad champagne china chile
    cologne concord cork crystal delta earth frank gap grant guinea hamburg ionic jack jersey job
    jordan june lima mark march mars may mercury meta mobile mosel nice oracle orange orient pearl
    phoenix polish pole port reading rich rose rugby saturn scone shell slough smith square sun
    swede target turkey visa wales will"""
)
# Of two letters, these are the same in capitals; others are keywords, units or elements.
_SHORT = words("ai ui ux db pc tv ok uk eu js ts ci cd ml ip am pm vs vm os hr qa it's i'm i'd")
# A longer line seldom comes in two wordings, and looking through it takes its time.
_READ_CHARS_MAX = 400
_PLAIN_ENDS = frozenset({"?", "!", ".", "…", "..."})


def wording(text: str) -> str:
    """Return what two prompts have in common that may share an answer; never raises."""
    said = literal(text)
    return f"{normalised(text)}\0{said}" if said else normalised(text)


def literal(text: str) -> str:
    """Return what of a prompt stands for itself, empty where nothing does."""
    stripped = text.strip()
    if "\n" in stripped and "```" not in text and "~~~" not in text:
        return ""  # the normal form keeps text of several lines as it is
    if len(stripped) > _READ_CHARS_MAX or _ABOUT_FORM.search(text):
        return stripped
    head, material = text, ""
    if (found := _MATERIAL.search(text)) and not _LEADS.fullmatch(text, 0, found.start()):
        head, material = text[: found.start()], text[found.end() :].strip()
    spoken = _WORD.findall(head)
    is_shouted = head.isupper()
    kept = [
        word.strip(_EDGES)
        for place, word in enumerate(spoken)
        if _says_by_case(word, place, is_shouted)
    ]
    if spoken and not material and not any(map(str.isalnum, spoken[-1])):
        kept += [] if spoken[-1] in _PLAIN_ENDS else spoken[-1:]
    if not text.isascii():
        kept += [sign for sign in head if unicodedata.decomposition(sign).startswith("<font>")]
    return "\0".join([*kept, material]) if kept or material else ""


def _says_by_case(word: str, place: int, is_shouted: bool) -> bool:
    """Return whether a word may be another one in another case."""
    bare = word.strip(_EDGES)
    if bare.islower() or not any(map(str.isupper, bare)):
        return False
    lowered = bare.lower()
    if lowered in _TWO_WORDS:
        return True
    if is_shouted:
        return False
    if not bare.isalpha():
        return "." in bare or "@" in bare
    match len(bare):
        case 1:
            return lowered != "i" and (place > 0 or lowered != "a")
        case 2 if place:
            return lowered not in _SHORT
        case _:
            return not (bare.istitle() or bare.isupper())
