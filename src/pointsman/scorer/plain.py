"""Plain: a text as a person reads it, where letters were swapped for lookalikes or hidden in it.

Only the scorer reads it so: what goes upstream, and what phrases are looked for in, is the text as
it came. A text in another script stays as it is, and so do single letters, as in a formula: only
words are made plain in which scripts are mixed, or every letter is a lookalike or a styled one.
"""

import re
from typing import Final
from unicodedata import normalize

# Shorter ones are left: they are formulae ("\u03c1gh", a bold "x") more often than words.
_STYLED_LETTERS_MIN = 3
_MIXED_LETTERS_MIN = 4

# What is drawn as nothing: soft hyphens, joiners, marks of direction, variation selectors, tags.
# Source: Unicode 16, UAX #44, property Default_Ignorable_Code_Point (read 2026-11-23).
_UNSEEN: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
# Marks that are put over, under or through the letter before them. Source: Unicode 16, Blocks.txt.
_MARKS: Final = "\u0300-\u036f\u0488\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
# Letters and digits in circles, in full width, in bold, script and the like, which NFKC makes
# plain. Source: Unicode 16, UAX #15 and Blocks.txt (read 2026-11-23).
_STYLED: Final = (
    "\u2460-\u24ea\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\U0001d400-\U0001d7ff"
    "\U0001f110-\U0001f129\U0001f130-\U0001f149"
)
# Letters that look like one of ASCII, small capitals for the small letter.
# Source: Unicode 16, UTS #39, confusables.txt (read 2026-11-23); of it only what is common.
_CYRILLIC: Final = (
    "\u0430\u0432\u0433\u0435\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u0455\u0456"
    "\u0458\u04bb\u04cf\u0501\u051b\u051d"
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0405\u0406\u0408"
    "\u04c0\u050c\u051c",
    "abrekmhopctyxsijhidqwABEKMHOPCTYXSIJlGW",
)
_GREEK: Final = (
    "\u03b1\u03b3\u03b9\u03ba\u03bd\u03bf\u03c1\u03c3\u03c4\u03c5"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7",
    "ayikvopotuABEZHIKMNOPTYX",
)
_ARMENIAN: Final = ("\u0570\u0578\u057d\u0581\u0585", "hnugo")
_LATIN: Final = (
    "\u0251\u0261\u1d00\u0299\u1d04\u1d05\u1d07\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d\u0274"
    "\u1d0f\u1d18\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22",
    "agabcdeghijklmnoprstuvwyz",
)
_LOOKALIKES: Final = {
    letter: plain
    for letters, plains in (_CYRILLIC, _GREEK, _ARMENIAN, _LATIN)
    for letter, plain in zip(letters, plains, strict=True)
}
_ALIKE: Final = "".join(_LOOKALIKES)

_has_suspects = re.compile(f"[{_UNSEEN}{_MARKS}{_STYLED}{_ALIKE}]").search
_has_unseen = re.compile(f"[{_UNSEEN}]").search
_has_marks = re.compile(f"[{_MARKS}]").search
_has_styled = re.compile(f"[{_STYLED}]").search
_has_alike = re.compile(f"[{_ALIKE}]").search
# Letters of the same scripts that look like none of ASCII: who writes them writes the language.
_has_native = re.compile(
    f"(?![{_ALIKE}])[\u0370-\u0373\u0376-\u037d\u0386-\u03ff\u0400-\u0482\u048a-\u052f\u0531-\u0587]"
).search
_has_mixed = re.compile(f"[A-Za-z](?:(?=[{_ALIKE}])|(?<=[{_ALIKE}].))").search
_drop_unseen = re.compile(f"[{_UNSEEN}]+").sub
_drop_marks = re.compile(f"[{_MARKS}]+").sub
_replace_marked = re.compile(
    rf"(?<![A-Za-z])(?:[A-Za-z]++[{_MARKS}]++){{{_STYLED_LETTERS_MIN},}}[A-Za-z]*"
).sub
_replace_styled = re.compile(
    rf"(?<![A-Za-z])(?:[A-Za-z]*+[{_STYLED}]){{{_STYLED_LETTERS_MIN},}}[A-Za-z]*"
).sub
_replace_words = re.compile(rf"[^\W\d_]{{{_MIXED_LETTERS_MIN},}}").sub


def plain(text: str) -> str:
    """Return the text without what is not seen, and disguised words in plain letters.

    A text that has nothing of the kind, as any of ASCII, is returned as it is.
    """
    if text.isascii():
        return text
    letters = "".join(set(text))
    if not _has_suspects(letters):
        return text
    if _has_unseen(letters):
        text = _drop_unseen("", text)
    if _has_marks(letters):
        text = _replace_marked(lambda word: _drop_marks("", word[0]), text)
    if _has_styled(letters):
        text = _replace_styled(lambda word: _without_style(word[0]), text)
    if _has_alike(letters):
        text = _without_lookalikes(text, is_native=_has_native(letters) is not None)
    return text


def _without_style(word: str) -> str:
    plain_word = normalize("NFKC", word)
    return plain_word if plain_word.isascii() else word


def _without_lookalikes(text: str, *, is_native: bool) -> str:
    """Return the text with the words in plain letters that can be, but for those of a language.

    `is_native`: the text has letters of such a script that look like no others. In such a text, and
    in one that is not mostly ASCII, a word is only made plain when half of its letters are.
    """
    is_foreign = is_native or 2 * len(text.encode("ascii", "ignore")) < len(text)
    if is_foreign and not _has_mixed(text):
        return text
    folded = text
    for letter in _LOOKALIKES.keys() & set(text):
        folded = folded.replace(letter, _LOOKALIKES[letter])

    def word_as_read(found: re.Match[str]) -> str:
        word, plain_word = found[0], folded[found.start() : found.end()]
        if word.isascii() or not plain_word.isascii():
            return word
        own = len(word.encode("ascii", "ignore"))
        return word if is_foreign and 2 * own < len(word) else plain_word

    return _replace_words(word_as_read, text)
