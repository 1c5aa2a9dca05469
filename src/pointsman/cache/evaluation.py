"""Evaluation: the semantic tiers as an object of `get` and `put`, to replay labelled prompts.

`factory()` is the normalised and the canonical tier. What it learns from is what production learns
from: after a miss, the kept answers of the nearest prompts are compared with the new one.

`factory_judged()` puts the judged tier on top: of the nearest prompts that the guards let pass, a
judge says whether one asks the same. Candidates, guards and learning are those of production; the
judge alone is scripted. A judge is any `same(first, second) -> bool`, given as
`factory_judged(judge)`. Without one, a perfect judge reads the labels: every `*.jsonl` in the
directory that `POINTSMAN_JUDGE_LABELS` names, each line with `prompt` and `answer_id`; a prompt
without a label is never the same as another.
"""

import os
from collections.abc import Callable, Hashable, Iterator
from itertools import count
from pathlib import Path
from typing import TypeAlias

import msgspec

from pointsman.cache.semantic.index import Index
from pointsman.cache.semantic.literal import wording

Judge: TypeAlias = Callable[[str, str], bool]

LABELS_VARIABLE = "POINTSMAN_JUDGE_LABELS"
_COMPARED = 8  # kept answers that a new one is compared with
_JUDGED = 3  # stored prompts that one call of the judge reads


class Replayed:
    """Answers by prompt. Entry ids are counted; an answer's name is the evaluator's."""

    def __init__(self, judge: Judge | None = None) -> None:
        self._judge = judge
        self._index = Index()
        self._normal: dict[str, str] = {}
        self._answers: dict[Hashable, str] = {}
        self._ids = count()

    def get(self, prompt: str) -> str | None:
        """Return the answer kept for a prompt that asks the same, None for a miss."""
        normal = wording(prompt)
        if (answer := self._normal.get(normal)) is not None:
            return answer
        if (found := self._index.find(prompt)) is not None:
            return self._answers[found.entry_id]
        entry_id = self._judged(prompt)
        if entry_id is None:
            return None
        self._normal[normal] = self._answers[entry_id]
        self._index.add(prompt, entry_id)
        return self._answers[entry_id]

    def put(self, prompt: str, answer_id: str) -> None:
        """Keep an answer, and learn from those of the nearest prompts."""
        self._normal[wording(prompt)] = answer_id
        for other in self._index.near(prompt, _COMPARED):
            is_same = self._answers[other.entry_id] == answer_id
            self._index.verdict(prompt, other.prompt, is_same)
        entry_id = next(self._ids)
        self._answers[entry_id] = answer_id
        self._index.add(prompt, entry_id)

    def _judged(self, prompt: str) -> Hashable | None:
        if self._judge is None:
            return None
        for other in self._index.near(prompt, _JUDGED):
            is_same = self._judge(prompt, other.prompt)
            self._index.verdict(prompt, other.prompt, is_same)
            if is_same:
                return other.entry_id
        return None


def factory() -> Replayed:
    """Return the tiers that need no model, empty."""
    return Replayed()


def factory_judged(judge: Judge | None = None) -> Replayed:
    """Return the same with a judge, one that knows the labels when none is given.

    Raises KeyError when `POINTSMAN_JUDGE_LABELS` is needed and not set.
    """
    return Replayed(judge or label_judge(Path(os.environ[LABELS_VARIABLE])))


def label_judge(directory: Path) -> Judge:
    """Return a judge that is always right about the prompts labelled in a directory's streams."""
    labels = dict(_labels(directory))

    def same(first: str, second: str) -> bool:
        return first in labels and labels[first] == labels.get(second)

    return same


class _Row(msgspec.Struct):
    prompt: str = ""
    answer_id: str = ""


def _labels(directory: Path) -> Iterator[tuple[str, str]]:
    decoder = msgspec.json.Decoder(_Row)
    for path in sorted(directory.glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                if (row := decoder.decode(line)).answer_id:
                    yield row.prompt, row.answer_id
