"""Index: which entry answers a prompt, by what it asks. Bounded, and safe for one thread.

A prompt finds an entry whose canonical form is its own, or one that an edit makes of it. Entries
that look alike are found by their rarest features, so that a look-up costs the same at any size.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from pointsman.cache.semantic.canonical import Canonical, canonical
from pointsman.cache.semantic.edits import Edits, Form, edit_between
from pointsman.cache.semantic.guard import differs_in
from pointsman.cache.semantic.normal import normalised
from pointsman.cache.semantic.spelling import Spelling
from pointsman.cache.semantic.tokens import HARD, tokens

ENTRIES_MAX = 100_000
_CANDIDATES = 16
_POSTINGS_READ = 300  # of one feature, the latest first
_FEATURES_READ = 8
_STEM = 5
_STEPS = 2  # edits in turn that may lead to an entry
_FORMS_MAX = 32
_EXPLAINED_MAX = 8


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that answers a prompt. `prompt`: the one it was stored under.

    `is_edited`: by a learned edit, not by the same canonical form.
    """

    entry_id: Hashable
    prompt: str
    is_edited: bool


@dataclass(frozen=True, slots=True)
class Near:
    """An entry that may answer a prompt: a judge must say. `likeness`: 0..1."""

    entry_id: Hashable
    prompt: str
    likeness: float


@dataclass(frozen=True, slots=True)
class _Entry:
    entry_id: Hashable
    prompt: str
    asks: Canonical
    features: frozenset[str]
    words: tuple[str, ...]


class Index:
    """Prompts and the entries that answer them, at most `entries_max`; those unread longest go."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._numbers: dict[Hashable, list[int]] = {}
        self._keys: dict[tuple[str, ...], int] = {}
        self._postings: dict[str, dict[int, None]] = {}
        self._spelling = Spelling()
        self._edits = Edits()
        self._next = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, prompt: str) -> Found | None:
        """Return the entry that answers the prompt, None where none surely does."""
        asks = canonical(prompt, self._spelling)
        if asks is None:
            return None
        number = self._keys.get(asks.key)
        is_edited = number is None
        if number is None:
            number = self._edited(asks)
        if number is None:
            return None
        self._entries.move_to_end(number)
        entry = self._entries[number]
        return Found(entry.entry_id, entry.prompt, is_edited)

    def add(self, prompt: str, entry_id: Hashable) -> bool:
        """Store a prompt under an entry; False where the prompt must not share its answer."""
        asks = canonical(prompt, self._spelling)
        if asks is None:
            return False
        if asks.key in self._keys:
            self._drop(self._keys[asks.key])
        words = tuple(tokens(normalised(prompt), self._spelling))
        entry = _Entry(entry_id, prompt, asks, features(asks), words)
        number = self._next = self._next + 1
        self._entries[number] = entry
        self._keys[asks.key] = number
        self._numbers.setdefault(entry_id, []).append(number)
        self._spelling.learn(words)
        for feature in entry.features:
            self._postings.setdefault(feature, {})[number] = None
        while len(self._entries) > self._entries_max:
            self._drop(next(iter(self._entries)))
        return True

    def remove(self, entry_id: Hashable) -> None:
        """Forget an entry and every prompt stored under it."""
        for number in list(self._numbers.get(entry_id, ())):
            self._drop(number)

    def near(self, prompt: str, count: int = 3) -> list[Near]:
        """Return the stored prompts most like this one whose hard facts are its own."""
        asks = canonical(prompt, self._spelling)
        if asks is None:
            return []
        found: list[Near] = []
        for number, likeness in self._alike(asks):
            entry = self._entries[number]
            if not differs_in(asks, entry.asks):
                found.append(Near(entry.entry_id, entry.prompt, likeness))
                if len(found) == count:
                    break
        return found

    def verdict(self, first: str, second: str, is_same: bool) -> None:
        """Learn that two prompts have one answer, or that they have not."""
        a, b = canonical(first, self._spelling), canonical(second, self._spelling)
        if a is None or b is None or a.key == b.key:
            return
        for one, other in self._explained(a.key, b.key):
            edit = edit_between(one, other)
            if edit is None:
                continue
            if is_same:
                self._edits.keeps(edit, edit.shared)
            else:
                self._edits.changes(edit)

    def withdraw(self, prompt: str, entry_id: Hashable) -> None:
        """Learn that an entry's answer was wrong for a prompt: the entry and its rules go."""
        for number in self._numbers.get(entry_id, ()):
            self.verdict(prompt, self._entries[number].prompt, False)
        self.remove(entry_id)

    def _explained(self, first: Form, second: Form) -> Iterator[tuple[Form, Form]]:
        """Yield the two forms, and what is left of their difference when a rule explains some."""
        yield first, second
        shared = len(set(first) & set(second))
        for one, other in ((first, second), (second, first)):
            for new in self._edits.rewritten(one)[:_EXPLAINED_MAX]:
                if new != other and len(set(new) & set(other)) > shared:
                    yield new, other

    def _edited(self, asks: Canonical) -> int | None:
        for number, _ in self._alike(asks):
            edit = edit_between(asks.key, self._entries[number].asks.key)
            if edit is not None and self._edits.holds(edit):
                return number
        return self._edited_twice(asks.key)

    def _edited_twice(self, form: Form) -> int | None:
        """Return the number of the entry that two or three edits lead to."""
        seen = {form}
        latest = [form]
        for _ in range(_STEPS):
            latest = [new for old in latest for new in self._edits.rewritten(old)][:_FORMS_MAX]
            latest = [new for new in dict.fromkeys(latest) if new not in seen]
            for new in latest:
                if new in self._keys:
                    return self._keys[new]
            seen.update(latest)
        return None

    def _alike(self, asks: Canonical) -> list[tuple[int, float]]:
        """Return the numbers of the entries that share most rare features, the most alike first."""
        mine = features(asks)
        total = len(self._entries) + 1
        weights = {
            feature: math.log(total / len(self._postings[feature])) + 0.1
            for feature in mine
            if feature in self._postings
        }
        rarest = sorted(weights, key=weights.__getitem__, reverse=True)[:_FEATURES_READ]
        scores: dict[int, float] = {}
        for feature in rarest:
            weight = weights[feature]
            for number in _latest(self._postings[feature], _POSTINGS_READ):
                scores[number] = scores.get(number, 0.0) + weight
        best = sorted(scores, key=scores.__getitem__, reverse=True)[:_CANDIDATES]
        unknown = math.log(total) + 0.1
        whole = sum(weights.values()) + unknown * (len(mine) - len(weights))
        return [(number, scores[number] / whole) for number in best]

    def _drop(self, number: int) -> None:
        entry = self._entries.pop(number)
        self._keys.pop(entry.asks.key, None)
        numbers = self._numbers[entry.entry_id]
        numbers.remove(number)
        if not numbers:
            del self._numbers[entry.entry_id]
        self._spelling.forget(entry.words)
        for feature in entry.features:
            posting = self._postings[feature]
            del posting[number]
            if not posting:
                del self._postings[feature]


def features(asks: Canonical) -> frozenset[str]:
    """Return what a prompt is found by: its words' beginnings, its numbers and names."""
    return frozenset(
        word if word[0] in HARD else word[:_STEM]
        for phrase in asks.phrases
        for word in phrase.words
        if len(word) > 2 or word[0] in HARD or not word.isalpha()
    )


def _latest(posting: dict[int, None], count: int) -> Iterator[int]:
    for number, _ in zip(reversed(posting), range(count), strict=False):
        yield number
