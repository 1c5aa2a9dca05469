"""FAQ: what a route answers by likeness where its operator bears a share of wrong answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from bench.semantic.policies import Embed
from bench.semantic.streams import Row, shuffled
from numpy.typing import NDArray

from pointsman.cache.semantic.faq import Faq

SHARES = (0.01, 0.02, 0.05)
_THRESHOLDS = np.arange(0.70, 1.0, 0.01)


@dataclass(frozen=True, slots=True)
class Run:
    """One order of the stream: what `Faq` answered, and the best threshold known afterwards."""

    requests: int
    hits: int
    false: int
    oracle_hits: int


def runs(rows: Sequence[Row], embed: Embed, share: float, seeds: int) -> Iterator[Run]:
    """Yield a run for each seed."""
    for seed in range(seeds):
        order = shuffled(rows, seed)
        vectors = np.stack([embed(row.prompt)[0] for row in order])
        answers = np.unique([row.answer_id for row in order], return_inverse=True)[1]
        hits, false = _played(vectors, answers, share)
        cosines = vectors @ vectors.T
        best = max(
            at_most
            for threshold in (*_THRESHOLDS, 2.0)
            for at_most, wrong in [_fixed(cosines, answers, threshold)]
            if wrong <= share * len(order)
        )
        yield Run(len(order), hits, false, best)


def _played(
    vectors: NDArray[np.float32], answers: NDArray[np.intp], share: float
) -> tuple[int, int]:
    """Return hits, and those that are wrong; each is told of before the next request."""
    faq, hits, false = Faq(share), 0, 0
    for place, vector in enumerate(vectors):
        found = faq.find(vector)
        if found is None:
            faq.keep(b"%d" % place, vector)
            continue
        is_right = bool(answers[int(found[0])] == answers[place])
        faq.told(found[0], is_right=is_right)
        hits += 1
        false += not is_right
    return hits, false


def _fixed(
    cosines: NDArray[np.float32], answers: NDArray[np.intp], threshold: float
) -> tuple[int, int]:
    """Return hits, and those that are wrong, of one threshold from the first request on."""
    kept, count, hits, false = np.zeros(len(answers), np.intp), 0, 0, 0
    for place, row in enumerate(cosines):
        if count:
            nearest = kept[row[kept[:count]].argmax()]
            if row[nearest] >= threshold:
                hits += 1
                false += bool(answers[nearest] != answers[place])
                continue
        kept[count] = place
        count += 1
    return hits, false
