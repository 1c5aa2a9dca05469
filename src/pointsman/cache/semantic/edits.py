"""Edits: differences between canonical forms that were seen to keep the answer.

An edit is what tells two forms apart, with all they share put as `$0`, `$1`, …: `cheapest train $0`
and `lowest cost $0 ~: train`. It becomes a rule once it was seen to keep the answer of two
questions, and never to change one; it then holds for whatever stands in for `$0`, as long as the
words that all its witnesses shared stand there too. A difference of numbers, quotes, code or names,
of negation, of opposites or of tense is never an edit.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeAlias

from pointsman.cache.semantic.language import words
from pointsman.cache.semantic.lexicon import NEGATIONS, OPPOSITES, POLAR
from pointsman.cache.semantic.tokens import HARD

Form: TypeAlias = tuple[str, ...]
Pattern: TypeAlias = tuple[str, ...]

_WORDS_MAX = 8  # of its own that a side may have
_PARTS_MAX = 6
_EDITS_MAX = 50_000
_WORDS_ANYWHERE = 3
_WITNESSES_MAX = 8
ANSWERS_MIN = 2
_NEVER_EDITED = NEGATIONS | {"past", "will", "should", "must", "only", "least", "most", "atleast",
                             "atmost", "all", "any", "some", "both", "each", "none"}  # fmt: skip


# One of these alone on one side turns an order into a question: that needs more in common.
_FORMS_OF_ASKING = words(
    """howto whether define who whom whose when where why how what write make create find list show
    explain describe compare check"""
)


@dataclass(frozen=True, slots=True)
class Edit:
    """Two patterns, the lesser first, and what both forms share."""

    patterns: tuple[Pattern, Pattern]
    shared: frozenset[str]


@dataclass(slots=True)
class _Evidence:
    """What all is known of one edit: what each of its witnesses shared, one for each answer."""

    witnesses: dict[object, frozenset[str]] = field(default_factory=dict)
    is_refuted: bool = False

    def holds(self, patterns: tuple[Pattern, Pattern], shared: frozenset[str]) -> bool:
        """Return whether this makes a rule of the edit, for forms that share these words.

        One of many words of its own holds anywhere. One of few holds only where the words stand
        that two of its witnesses had in common.
        """
        if self.is_refuted or len(self.witnesses) < ANSWERS_MIN:
            return False
        own = [sum(map(_is_content, side)) for side in patterns]
        if min(own) and sum(own) >= _WORDS_ANYWHERE:
            return True
        needed = 2 if _FORMS_OF_ASKING & set(patterns[0] + patterns[1]) and not min(own) else 1
        for one, other in combinations(self.witnesses.values(), 2):
            common = one & other
            if common <= shared and sum(map(_is_content, common)) >= needed:
                return True
        return False


class Edits:
    """What was seen of each edit, at most `edits_max` of them; the longest unseen are forgotten."""

    def __init__(self, edits_max: int = _EDITS_MAX) -> None:
        self._edits_max = edits_max
        self._seen: OrderedDict[tuple[Pattern, Pattern], _Evidence] = OrderedDict()
        self._by_word: dict[str, dict[tuple[tuple[Pattern, Pattern], int], None]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def keeps(self, edit: Edit, answer: object) -> None:
        """Take note that the edit kept the answer to a question, named by anything hashable."""
        evidence = self._evidence(edit)
        if answer in evidence.witnesses or len(evidence.witnesses) < _WITNESSES_MAX:
            evidence.witnesses[answer] = edit.shared
        if len(evidence.witnesses) >= ANSWERS_MIN and not evidence.is_refuted:
            for side in (0, 1):
                if word := _rarest(edit.patterns[side], edit.shared):
                    self._by_word.setdefault(word, {})[edit.patterns, side] = None

    def changes(self, edit: Edit) -> None:
        """Take note that the edit changed an answer: it is no rule from now on."""
        self._evidence(edit).is_refuted = True

    def holds(self, edit: Edit) -> bool:
        """Return whether the edit is a rule, for forms that share what these do."""
        evidence = self._seen.get(edit.patterns)
        return evidence is not None and evidence.holds(edit.patterns, edit.shared)

    def rewritten(self, form: Form) -> list[Form]:
        """Return the forms that a rule makes of this one."""
        found: list[Form] = []
        for word in dict.fromkeys(form):
            for patterns, side in self._by_word.get(word, ()):
                evidence = self._seen.get(patterns)
                runs = _matched(patterns[side], form) if evidence else None
                if evidence is None or runs is None:
                    continue
                shared = frozenset(word for run in runs.values() for word in run)
                if evidence.holds(patterns, shared):
                    made = [w for part in patterns[1 - side] for w in runs.get(part, (part,))]
                    found.append(tuple(made))
        return found

    def _evidence(self, edit: Edit) -> _Evidence:
        evidence = self._seen.get(edit.patterns)
        if evidence is None:
            evidence = self._seen[edit.patterns] = _Evidence()
            if len(self._seen) > self._edits_max:
                self._seen.popitem(last=False)
        else:
            self._seen.move_to_end(edit.patterns)
        return evidence


def edit_between(first: Form, second: Form) -> Edit | None:
    """Return what tells two forms apart, None where that is never an edit."""
    partner = _aligned(first, second)
    parts = _parts(first, second, partner)
    if len(parts) > _PARTS_MAX or not parts:
        return None
    forwards = _patterns(first, second, parts)
    backwards = _patterns(second, first, sorted((q, p, n) for p, q, n in parts))
    own = [[word for word in pattern if word[0] != "$"] for pattern in forwards]
    if max(map(len, own)) > _WORDS_MAX or not _may_be_edited(*own):
        return None
    shared = frozenset(
        word for p, _, length in parts for word in first[p : p + length] if word[-1] != ":"
    )
    return Edit(min(forwards, backwards), shared) if shared else None


def _aligned(first: Form, second: Form) -> list[int]:
    """Return for each place in the first the place of the same word in the second, or -1."""
    places: dict[str, list[int]] = {}
    for place in range(len(second) - 1, -1, -1):
        places.setdefault(second[place], []).append(place)
    return [places[word].pop() if places.get(word) else -1 for word in first]


def _parts(first: Form, second: Form, partner: list[int]) -> list[tuple[int, int, int]]:
    """Return the runs that both share as (place in the first, in the second, length)."""
    parts: list[tuple[int, int, int]] = []
    place = 0
    while place < len(first):
        start = partner[place]
        if start < 0:
            place += 1
            continue
        length = 1
        while place + length < len(first) and partner[place + length] == start + length:
            length += 1
        if any(word[-1] != ":" for word in first[place : place + length]):
            parts.append((place, start, length))
        place += length
    return parts


def _patterns(
    first: Form, second: Form, parts: list[tuple[int, int, int]]
) -> tuple[Pattern, Pattern]:
    """Return both forms with the shared runs as `$0`, `$1`, … numbered as the first has them."""
    named = [(p, q, n, f"${number}") for number, (p, q, n) in enumerate(parts)]
    return (
        _pattern(first, [(p, n, name) for p, _, n, name in named]),
        _pattern(second, sorted((q, n, name) for _, q, n, name in named)),
    )


def _pattern(form: Form, runs: list[tuple[int, int, str]]) -> Pattern:
    pattern: list[str] = []
    place = 0
    for start, length, name in runs:
        pattern += form[place:start]
        pattern.append(name)
        place = start + length
    return (*pattern, *form[place:])


def _may_be_edited(first: list[str], second: list[str]) -> bool:
    a, b = ({word.rstrip(":") for word in side} - {"~"} for side in (first, second))
    if any(word[0] in HARD for word in a | b) or (a ^ b) & _NEVER_EDITED:
        return False
    polar = [[word for word in side if word in POLAR] for side in (a - b, b - a)]
    return not any(frozenset((x, y)) in OPPOSITES for x in polar[0] for y in polar[1])


def _is_content(word: str) -> bool:
    return word[0] not in HARD and word[0] != "$" and word[-1] != ":"


def _rarest(pattern: Pattern, shared: frozenset[str]) -> str:
    """Return a word without which the pattern cannot match: the longest, so a rare one."""
    own = [word for word in pattern if _is_content(word)]
    return max(own or sorted(shared), key=len, default="")


def _matched(pattern: Pattern, form: Form) -> dict[str, Form] | None:
    """Return the run of words that stands for each `$`, None where the pattern does not fit.

    Two runs side by side could be parted anywhere: such a pattern fits nothing here.
    """
    runs: dict[str, Form] = {}
    place = 0
    name = ""
    for part in (*pattern, ""):
        if part and part[0] == "$":
            if name:
                return None
            name = part
            continue
        end = len(form) if not part else _place_of(part, form, place + bool(name))
        if end < 0 or (not name and end != place):
            return None
        if name:
            if end <= place:
                return None
            runs[name], name = form[place:end], ""
        place = end + 1
    return runs


def _place_of(word: str, form: Form, start: int) -> int:
    return next((place for place in range(start, len(form)) if form[place] == word), -1)
