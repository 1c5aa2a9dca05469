"""Guard: hard facts in which two prompts differ, so that no likeness may make them one."""

from collections import Counter

from pointsman.cache.semantic.canonical import Canonical, reading
from pointsman.cache.semantic.lexicon import NEGATIONS, OPPOSITES, POLAR
from pointsman.cache.semantic.normal import normalised
from pointsman.cache.semantic.tokens import CODE, HARD, NAME, NUMBER, QUOTE

_KINDS = {NUMBER: "number", QUOTE: "quote", CODE: "code", NAME: "name"}
_DIRECTIONS = frozenset({"from", "to", "than", "before", "after", "over", "under", "against",
                         "instead", "through", "with", "without", "by"})  # fmt: skip


def differs(first: str, second: str) -> frozenset[str]:
    """Return the kinds of hard facts in which two prompts differ; empty: the guards are silent.

    Kinds: number, quote, code, name, negation, opposite, direction.
    """
    return differs_in(reading(normalised(first)), reading(normalised(second)))


def differs_in(a: Canonical, b: Canonical) -> frozenset[str]:
    """Return the same of two prompts that were read already."""
    if a.key == b.key:
        return frozenset()
    found = {kind for mark, kind in _KINDS.items() if _facts(a, mark) != _facts(b, mark)}
    if _negations(a) != _negations(b):
        found.add("negation")
    if _opposed(a, b):
        found.add("opposite")
    if _turned(a, b):
        found.add("direction")
    return frozenset(found)


def _words(asks: Canonical) -> list[str]:
    return [word for phrase in asks.phrases for word in phrase.words]


def _facts(asks: Canonical, mark: str) -> Counter[str]:
    return Counter(word for word in _words(asks) if word[0] == mark)


def _negations(asks: Canonical) -> int:
    """Return how many times something is denied."""
    denied = sum(word in NEGATIONS for word in _words(asks))
    return denied + sum(phrase.role in {"without", "except", "unless"} for phrase in asks.phrases)


def _opposed(first: Canonical, second: Canonical) -> bool:
    a, b = ({*_words(side), *(phrase.role for phrase in side.phrases)} for side in (first, second))
    mine, others = (a - b) & POLAR, (b - a) & POLAR
    return any(frozenset((x, y)) in OPPOSITES for x in mine for y in others)


def _turned(first: Canonical, second: Canonical) -> bool:
    """Return whether a word that both have stands on the other side of a direction."""
    a, b = _sides(first), _sides(second)
    if any(a[word] != b[word] for word in a.keys() & b.keys() if a[word] | b[word] <= _DIRECTIONS):
        return True
    mine, others = _hard_order(first), _hard_order(second)
    return len(mine) > 1 and mine != others and sorted(mine) == sorted(others)


def _sides(asks: Canonical) -> dict[str, frozenset[str]]:
    sides: dict[str, frozenset[str]] = {}
    for phrase in asks.phrases:
        for word in phrase.words:
            sides[word] = sides.get(word, frozenset()) | {phrase.role}
    return sides


def _hard_order(asks: Canonical) -> list[str]:
    return [word for word in _words(asks) if word[0] in HARD and word[0] != QUOTE]
