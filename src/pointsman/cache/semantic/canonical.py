"""Canonical: a prompt reduced to what bears on its answer, in one order.

Two prompts of one canonical form ask the same. Dropped are articles, forms of asking (`forms`) and
inflection; kept are all other words in order, with the preposition before them where it tells a
direction. The order of phrases is forgotten only where each has a preposition of its own.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from pointsman.cache.semantic.eligible import may_enter
from pointsman.cache.semantic.forms import one_form
from pointsman.cache.semantic.lexicon import ARTICLES, UNITS, VERBS, WEEKDAYS
from pointsman.cache.semantic.normal import normalised
from pointsman.cache.semantic.tokens import HARD, MARKS, NUMBER, as_is, lemma, singular, tokens

# Prepositions that say where, about what or when, as English uses them in turn for one relation.
_PLACE = frozenset({"in", "on", "at", "for", "of", "about", "within", "using", "regarding"})
# And those that tell which of two it is: never in one's turn for another's.
_ROLES = {
    "from": "from", "to": "to", "into": "to", "onto": "to", "toward": "to", "towards": "to",
    "with": "with", "without": "without", "by": "by", "than": "than", "before": "before",
    "after": "after", "over": "over", "under": "under", "between": "between", "against": "against",
    "atleast": "atleast", "atmost": "atmost", "during": "during", "since": "since",
         "until": "until",
    "till": "until", "per": "per", "as": "as", "like": "like", "near": "near", "through": "through",
    "above": "over", "below": "under", "if": "if", "when": "when_", "while": "while",
    "because": "because", "but": "but", "instead": "instead", "via": "through", "unless": "unless",
    "behind": "behind", "inside": "inside", "outside": "outside", "across": "across",
    "around": "around", "among": "among", "despite": "despite", "except": "except",
}  # fmt: skip
_DROPPED = ARTICLES | {"is", "are", "am", "be", "being", "been", "do", "does", "that", "me", ",",
                       "(", ")", "there", "'s", "also", "my", "our"}  # fmt: skip
_PAST = frozenset({"was", "were", "did", "past"})
_ASKS_WHETHER = frozenset(
    "is are am was were do does did can could should will would may might must has have had".split()  # noqa: SIM905
)
_OWN = frozenset({"my", "your", "our", "i", "you", "we"})
_REQUESTS = frozenset({"give", "write", "suggest", "recommend", "propose", "generate", "create"})
_REQUEST_WORDS = 6
_HARD_BYTES = 64
_LETTERS = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand under one preposition; `role` "" before the first, `~` for a place."""

    role: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Canonical:
    """What a prompt asks. `key`: equal for two that ask the same. `phrases`: in the order said."""

    key: tuple[str, ...]
    phrases: tuple[Phrase, ...]


def canonical(text: str, spelled: Callable[[list[str]], list[str]] = as_is) -> Canonical | None:
    """Return what the prompt asks, None for one that must not share its answer (`eligible`).

    `spelled`: repairs the words' spelling.
    """
    prompt = normalised(text)
    if not may_enter(prompt):
        return None
    read = reading(prompt, spelled)
    return read if _says_something(read) else None


def reading(prompt: str, spelled: Callable[[list[str]], list[str]] = as_is) -> Canonical:
    """Return the canonical form of a normalised prompt, whether or not it may enter."""
    held: list[str] = []
    said: list[str] = []
    for token in tokens(prompt, spelled):
        if token[0] in HARD:
            said.append(f"⟨{len(held)}⟩" if token[0] == NUMBER else f"⟦{len(held)}⟧")
            held.append(token)
        else:
            said.append(token)
    form = one_form(" ".join(_several(said))).split()
    phrases = _phrases(form, held)
    return Canonical(_key(phrases), phrases)


def _phrases(form: list[str], held: list[str]) -> tuple[Phrase, ...]:
    found: list[tuple[str, list[str]]] = [("", [])]
    is_how_to = form[:1] == ["howto"]
    if form and form[0] in _ASKS_WHETHER:
        found[0][1].append("whether")
    for place, word in enumerate(form):
        words = found[-1][1]
        following = form[place + 1] if place + 1 < len(form) else ""
        if word[0] in "⟨⟦" and word[1:-1].isdigit():
            words.append(_short(held[int(word[1:-1])]))
        elif word in _DROPPED or (is_how_to and word in _OWN):
            continue
        elif word in _PAST:
            if "past" not in found[0][1]:
                found[0][1].append("past")
        elif word == "to" and following and lemma(following) in VERBS:
            continue
        elif word in _PLACE and place + 1 < len(form):
            found.append(("~", []))
        elif word in _ROLES and (place or word != "when") and following:
            found.append((_ROLES[word], []))
        elif word in MARKS:
            found.append(("|", []))
        else:
            words.append(UNITS.get(word, lemma(word)) if form[0] == "convert" else lemma(word))
    return tuple(Phrase(_role(role, words), tuple(words)) for role, words in found if words)


def _role(role: str, words: list[str]) -> str:
    """Return the role; a day or a time of day has one of its own, whatever stands before it."""
    if role == "~" and len(words) == 1:
        if words[0] in WEEKDAYS:
            return "day"
        if words[0].startswith(NUMBER) and words[0].endswith((":am", ":pm")):
            return "clock"
    return role


def _key(phrases: tuple[Phrase, ...]) -> tuple[str, ...]:
    roles = [phrase.role for phrase in phrases]
    if len(set(roles)) == len(roles) and "|" not in roles:
        phrases = tuple(sorted(phrases, key=lambda phrase: phrase.role))
    return tuple(
        word
        for phrase in phrases
        for word in ((f"{phrase.role}:",) if phrase.role else ()) + phrase.words
    )


def _several(said: list[str]) -> list[str]:
    """Return the tokens, with the plural that a request is for marked: tips are not a tip."""
    start = next((at for at, word in enumerate(said[:_REQUEST_WORDS]) if word in _REQUESTS), -1)
    if start < 0:
        return said
    for place in range(start + 1, min(len(said), start + _REQUEST_WORDS)):
        word = said[place]
        if word in _PLACE or word in _ROLES or word in MARKS or word == "that":
            break
        if singular(word) != word and word.isalpha():
            return [*said[:place], f"{word}+", *said[place + 1 :]]
    return said


def _short(token: str) -> str:
    if len(token) <= _HARD_BYTES:
        return token
    return token[0] + blake2b(token.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _says_something(read: Canonical) -> bool:
    words = [word for phrase in read.phrases for word in phrase.words]
    return len(words) >= 2 and any(_LETTERS.search(word) or "%" in word for word in words)
