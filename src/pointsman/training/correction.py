"""Correction: the smallest change to a linear function that fits new outcomes.

Text, counts and length are moved from where the prior has them, each at a cost: a ridge regression
of what the prior leaves over. Length has a say of its own from the first label on, for it is what
any scorer must beat, and how much the prior is worth here is itself a thing to learn.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from pointsman.training.metrics import Floats, Places
from pointsman.training.ridge import ridge

# Found on three public sets, each with a prior that had seen it and one that had not.
LENGTH_SHARE = 0.05
PRIOR_SHARE = 0.15
PENALTY = 6.0
COUNT_SCALE = 0.05
PRIOR_SCALE = 0.2

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Terms:
    """What a need is made of, for n requests: each column has mean 0 and deviation 1, or is 0.

    grams: (n, buckets), rows of unit length.  counts: (n, n_counts).  length, prior: (n,).
    weight: (n,), how much each request counts.
    """

    grams: sp.csr_array
    counts: Floats
    length: Floats
    prior: Floats
    weight: Floats

    def pick(self, rows: Places) -> "Terms":
        """Return the terms of these rows."""
        return Terms(
            self.grams[rows],
            self.counts[rows],
            self.length[rows],
            self.prior[rows],
            self.weight[rows],
        )


@dataclass(frozen=True, slots=True)
class Corrected:
    """A need as a sum of terms: weights of grams (buckets,) and counts, of length and of prior."""

    grams: Floats
    counts: Floats
    length: float
    prior: float

    def value(self, terms: Terms) -> Floats:
        """Return the needs, (n,), in deviations of the gain."""
        text: Floats = terms.grams @ self.grams
        value: Floats = text + terms.counts @ self.counts
        return value + self.length * terms.length + self.prior * terms.prior


def correct(terms: Terms, gain: Floats) -> Corrected:
    """Return the need that fits gains (n,), of mean 0 and deviation 1."""
    used = np.unique(terms.grams.indices)
    dense = np.column_stack((COUNT_SCALE * terms.counts, PRIOR_SCALE * terms.prior))
    columns = sp.hstack([terms.grams[:, used], sp.csr_array(dense)], format="csr")
    left = gain - LENGTH_SHARE * terms.length - PRIOR_SHARE * terms.prior
    found = ridge(
        columns,
        np.zeros((len(gain), 0)),
        left,
        # `ridge` gives the weights a mean of 1; the penalty is for labels that weigh 1 each.
        penalty=PENALTY / float(terms.weight.mean()),
        count_scale=1.0,
        weights=terms.weight,
    ).grams
    grams = np.zeros(terms.grams.shape[1])
    grams[used] = found[: len(used)]
    dense_part = found[len(used) :]
    return Corrected(
        grams=grams,
        counts=COUNT_SCALE * dense_part[:-1],
        length=LENGTH_SHARE,
        prior=PRIOR_SHARE + PRIOR_SCALE * float(dense_part[-1]),
    )


def unseen_values(terms: Terms, gain: Floats) -> Floats:
    """Return each request's need, (n,), by a fit that has not seen it: in five parts by place."""
    values = np.zeros(len(gain))
    for seen, unseen in _folds(len(gain)):
        values[unseen] = correct(terms.pick(seen), gain[seen]).value(terms.pick(unseen))
    return values


def _folds(n: int) -> Iterator[tuple[Places, Places]]:
    fold = np.arange(n) % FOLDS
    for one in range(FOLDS):
        yield np.flatnonzero(fold != one), np.flatnonzero(fold == one)
