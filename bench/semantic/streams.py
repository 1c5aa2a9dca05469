"""Streams: labelled prompts from files, and what comes of them where a policy keeps their answers.

A stream is a file of JSON lines: `prompt`, and `answer_id`, which two rows share where they have
one right answer. A file named pairs… holds `cached`, `probe`, `same` (0 or 1) and `category`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from pointsman.cache.semantic.literal import wording
from pointsman.scorer.bounds import clopper_pearson

_CONFIDENCE = 0.95
PAIRS = "pairs"

_T = TypeVar("_T")


class Row(msgspec.Struct, frozen=True):
    prompt: str
    answer_id: str


class Pair(msgspec.Struct, frozen=True):
    cached: str
    probe: str
    same: int
    category: str


class Policy(Protocol):
    def get(self, prompt: str) -> str | None: ...

    def put(self, prompt: str, answer: str) -> None: ...


class Timed(Policy, Protocol):
    """`made_s`: what the last `get` would have taken besides, had it not been known already."""

    made_s: float


MakePolicy: TypeAlias = Callable[[], Policy]


@dataclass(frozen=True, slots=True)
class Replayed:
    """`beyond`: hits on prompts that are no former one's normal form. `took_ms`: of each lookup.

    `false`: hits with another's answer; `false_beyond`: those of them that are beyond.
    """

    requests: int
    hits: int
    beyond: int
    false: int
    false_beyond: int
    took_ms: tuple[float, ...]

    @property
    def hit_share(self) -> float:
        return self.hits / self.requests

    @property
    def false_per_hit(self) -> float:
        return self.false / max(1, self.hits)

    @property
    def false_per_beyond(self) -> float:
        return self.false_beyond / max(1, self.beyond)

    @property
    def false_per_hit_at_most(self) -> float:
        """Return the one-sided bound at 95%; 1 where there is no hit."""
        if not self.hits:
            return 1.0
        return clopper_pearson(self.false, self.hits, confidence=2 * _CONFIDENCE - 1)[1]

    def took(self, share: float) -> float:
        """Return a percentile of the lookups, in ms."""
        return sorted(self.took_ms)[min(self.requests - 1, int(share * self.requests))]


def read_streams(folder: Path) -> dict[str, list[Row]]:
    """Return the streams of a folder by their names. Raises SystemExit where there are none."""
    files = sorted(path for path in folder.glob("*.jsonl") if not path.stem.startswith(PAIRS))
    if not files:
        raise SystemExit(f"{folder} has no *.jsonl with streams of prompts")
    return {path.stem: _lines(path, Row) for path in files}


def read_pairs(folder: Path) -> dict[str, list[Pair]]:
    """Return the pairs of a folder by their files' names."""
    return {path.stem: _lines(path, Pair) for path in sorted(folder.glob(f"{PAIRS}*.jsonl"))}


def shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    """Return the rows in an order of the seed's."""
    return Random(seed).sample(rows, len(rows))


def ceiling(rows: Sequence[Row]) -> float:
    """Return the share of rows whose answer has come before."""
    return 1 - len({row.answer_id for row in rows}) / len(rows)


def replay(make: MakePolicy, rows: Sequence[Row]) -> Replayed:
    """Ask for each row's answer, and keep the right one after a miss alone."""
    policy, known = make(), set[str]()
    hits = beyond = false = false_beyond = 0
    took = []
    for row in rows:
        began = time.perf_counter()
        answer = policy.get(row.prompt)
        took.append((time.perf_counter() - began + getattr(policy, "made_s", 0.0)) * 1e3)
        form = wording(row.prompt)
        if answer is None:
            policy.put(row.prompt, row.answer_id)
        else:
            hits += 1
            is_beyond, is_false = form not in known, answer != row.answer_id
            beyond += is_beyond
            false += is_false
            false_beyond += is_beyond and is_false
        known.add(form)
    return Replayed(len(rows), hits, beyond, false, false_beyond, tuple(took))


def answered(make: MakePolicy, pairs: Sequence[Pair]) -> Mapping[bool, tuple[int, int]]:
    """Return how many of the pairs are answered, and how many there are, by whether they may be."""
    counts = {True: [0, 0], False: [0, 0]}
    for pair in pairs:
        policy = make()
        policy.put(pair.cached, "kept")
        count = counts[bool(pair.same)]
        count[0] += policy.get(pair.probe) is not None
        count[1] += 1
    return {is_same: (count[0], count[1]) for is_same, count in counts.items()}


def _lines(path: Path, kind: type[_T]) -> list[_T]:
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(line) for line in path.read_bytes().splitlines() if line.strip()]
