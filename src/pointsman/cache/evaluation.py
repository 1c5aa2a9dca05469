"""Evaluation: the semantic tiers as an object of `get` and `put`, to replay labelled prompts.

`factory()` is the normalised and the canonical tier. What it learns from is what production learns
from: after a miss, the kept answers of the nearest prompts are compared with the new one.
"""

from collections.abc import Hashable
from itertools import count

from pointsman.cache.semantic.index import Index
from pointsman.cache.semantic.normal import normalised

_COMPARED = 8


class Replayed:
    """Answers by prompt. Entry ids are counted; an answer's name is the evaluator's."""

    def __init__(self) -> None:
        self._index = Index()
        self._normal: dict[str, str] = {}
        self._answers: dict[Hashable, str] = {}
        self._ids = count()

    def get(self, prompt: str) -> str | None:
        """Return the answer kept for a prompt that asks the same, None for a miss."""
        if (answer := self._normal.get(normalised(prompt))) is not None:
            return answer
        found = self._index.find(prompt)
        return self._answers[found.entry_id] if found else None

    def put(self, prompt: str, answer_id: str) -> None:
        """Keep an answer, and learn from those of the nearest prompts."""
        self._normal[normalised(prompt)] = answer_id
        near = self._index.near(prompt, _COMPARED)
        for other in near:
            self._index.verdict(prompt, other.prompt, self._answers[other.entry_id] == answer_id)
        entry_id = next(self._ids)
        self._answers[entry_id] = answer_id
        self._index.add(prompt, entry_id)


def factory() -> Replayed:
    """Return the tiers that need no model, empty."""
    return Replayed()
