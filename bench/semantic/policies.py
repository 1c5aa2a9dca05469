"""Policies: what may answer a prompt from the cache, each as an object of `get` and `put`."""

import importlib
import importlib.util
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TypeAlias

import numpy as np
from bench.semantic.streams import MakePolicy
from numpy.typing import NDArray

from pointsman.cache.semantic.literal import wording
from pointsman.cache.semantic.vectors import NearestVectors

COSINES = (0.80, 0.90, 0.95, 0.99)
_ENTRIES_MAX = 100_000

Vector: TypeAlias = NDArray[np.float32]
# A text's vector and the seconds that it took to make, both made once.
Embed: TypeAlias = Callable[[str], tuple[Vector, float]]


class ByForm:
    """Answers a prompt that has the same form as a former one."""

    def __init__(self, form: Callable[[str], str]) -> None:
        self._form = form
        self._answers: dict[str, str] = {}

    def get(self, prompt: str) -> str | None:
        return self._answers.get(self._form(prompt))

    def put(self, prompt: str, answer: str) -> None:
        self._answers[self._form(prompt)] = answer


class Likeness:
    """Answers a former normal form, then whatever lies near enough: nothing else is looked at."""

    def __init__(self, embed: Embed, cosine_min: float) -> None:
        self.made_s = 0.0
        self._embed = embed
        self._cosine_min = cosine_min
        self._same = ByForm(wording)
        self._near = NearestVectors(_ENTRIES_MAX)
        self._answers: dict[bytes, str] = {}

    def get(self, prompt: str) -> str | None:
        self.made_s = 0.0
        if (answer := self._same.get(prompt)) is not None:
            return answer
        vector, self.made_s = self._embed(prompt)
        found = self._near.nearest(vector, cosine_min=self._cosine_min)
        return self._answers[found[0][0]] if found else None

    def put(self, prompt: str, answer: str) -> None:
        self._same.put(prompt, answer)
        entry_id = prompt.encode()
        self._answers[entry_id] = answer
        self._near.add(entry_id, self._embed(prompt)[0])


def timed(make: Callable[[str], Vector]) -> Embed:
    """Return an embedder that makes each vector once, and says what it took then."""

    @cache
    def made(text: str) -> tuple[Vector, float]:
        began = time.perf_counter()
        vector = make(text)
        return vector, time.perf_counter() - began

    return made


def policies(embed: Embed) -> Mapping[str, MakePolicy]:
    """Return every policy by its name: ours, then thresholds of cosine."""
    found: dict[str, MakePolicy] = {
        "exact": partial(ByForm, str),
        "normalised": partial(ByForm, wording),
    }
    module = "pointsman.cache.evaluation"
    if importlib.util.find_spec(module):
        tiers = importlib.import_module(module)
        for name, maker in (("canonical", "factory"), ("judged", "judged")):
            if hasattr(tiers, maker):
                found[name] = getattr(tiers, maker)
    for least in COSINES:
        found[f"cosine ≥ {least:.2f}"] = partial(Likeness, embed, least)
    return found
