"""Language: whether a text is English prose, by its small words and its letters."""

import re
import unicodedata


def words(listed: str) -> frozenset[str]:
    """Return the words of a list written as text."""
    return frozenset(listed.split())


# The commonest function words. One that another language shares is not listed for either side
# (in, a, on, of, was, are, an, to, do, no, me, for, is, he, as, at, so, us).
_ENGLISH = words(
    """the and what how which who whose why when where does did can could should would will with
    without this that these those there have has i my you your we our they their it its from
    by than or not be been about if between into over under much many most more explain tell
    give show write find list name make get calculate convert translate meaning please"""
)
# Enough to take a text for English that no word speaks for another language.
_ENGLISH_SHARED = words(
    """define in a an on of is are was at to for with and or do me some code cancel delete remove
    check solve sort order plan draft compose suggest recommend summarize classify extract
    count describe steps difference cheapest best worst average number cost price time
    recipe definition square root
    recommended daily legal possible ideas gift best cheap"""
)
_FOREIGN = words(
    """der das dem ist und nicht ein eine einen einem wie wo wer wann warum ich sie wir ihr
    mein meine dein ihre ihnen wird werden kann können auf für von zu zum zur bei nach
    sind haben gibt le les du et est dans avec sur une je tu nous vous ils quel
    quelle quels quelles pourquoi combien qui que quoi où ne pas sont mon ma mes
    votre el los las del y en es un una por para con cuál cuáles qué cómo cuándo dónde
    cuánto quién como tu su está il lo gli della di che è e quando
    dove perché quanto chi sono mio mia qual o os do da dos das em não uma qual quais onde
    quanto são meu minha het een en niet hoe wat waar wie waarom ik je zijn voor
    mijn kan och att det som inte är hur vad jag på med till och av jak co gdzie kiedy nie
    się jest w z na i do czy ile kto"""
) - words("i do me is on no an a as at so us in e y o w z")
_WORD = re.compile(r"[^\W\d_]+")
_CHARACTERS_READ = 2_000


def is_foreign(text: str) -> bool:
    """Return whether the text is likely not English: other letters, or another tongue's words.

    A single accented name in an English question does not make it so. The first 2,000 characters
    are read.
    """
    words = _WORD.findall(text[:_CHARACTERS_READ])
    if not words:
        return False
    strange = sum(not _is_latin(word) for word in words)
    if strange * 4 > len(words):
        return True
    accented = sum(not word.isascii() for word in words)
    lowered = [word.lower() for word in words]
    english = sum(word in _ENGLISH for word in lowered)
    foreign = sum(word in _FOREIGN for word in lowered)
    return foreign > english or (foreign == english > 0) or accented > english + 1


def _is_latin(word: str) -> bool:
    return word.isascii() or all(
        unicodedata.name(letter, "").startswith(("LATIN", "MODIFIER", "COMBINING"))
        for letter in word
    )


def is_english(text: str) -> bool:
    """Return whether the text is surely English prose: not foreign, and of English words."""
    found = [word.lower() for word in _WORD.findall(text[:_CHARACTERS_READ])]
    if not found or is_foreign(text):
        return False
    return any(word in _ENGLISH or word in _ENGLISH_SHARED for word in found)
