"""Correction: how a prior is moved by outcomes, few and many."""

import numpy as np
import pytest
import scipy.sparse as sp

from pointsman.training import correction as c
from pointsman.training.correction import Terms, correct, unseen_values


def terms(n: int, *, words: int = 200, seed: int = 1) -> Terms:
    """Return n requests of ten words each, with a random prior, length and two counts."""
    rng = np.random.default_rng(seed)
    grams = sp.lil_array((n, words))
    for row in range(n):
        grams[row, rng.choice(words, 10, replace=False)] = 10**-0.5
    counts = rng.normal(size=(n, 2))
    length, prior = rng.normal(size=n), rng.normal(size=n)
    return Terms(sp.csr_array(grams), counts, length, prior, np.ones(n))


def standard(values: np.ndarray) -> np.ndarray:
    scaled: np.ndarray = (values - values.mean()) / values.std()
    return scaled


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def test_words_that_tell_are_found():
    some = terms(600)
    truth = np.asarray((some.grams[:, :20] > 0).sum(axis=1)).ravel()
    gain = standard(truth + np.random.default_rng(2).normal(size=600))
    assert correlation(unseen_values(some, gain), truth) > 0.5


def test_a_prior_that_tells_is_kept_from_few_outcomes():
    some = terms(60)
    gain = standard(some.prior + 3 * np.random.default_rng(2).normal(size=60))
    there = terms(500, seed=9)
    need = correct(some, gain).value(there)
    assert correlation(need, there.prior) > 0.5


def test_a_prior_that_misleads_is_turned_by_many_outcomes():
    some = terms(3_000)
    gain = standard(-some.prior + np.random.default_rng(2).normal(size=3_000))
    found = correct(some, gain)
    assert found.prior < 0


def test_length_has_a_say_before_any_outcome_speaks_for_it():
    some = terms(40)
    found = correct(some, np.zeros(40))
    assert found.length > 0
    assert correlation(found.value(some), some.length) > 0


def test_a_ridge_is_solved_exactly():
    some = terms(120, words=30)
    gain = standard(np.random.default_rng(4).normal(size=120))
    found = correct(some, gain)
    dense = np.column_stack(
        (some.grams.toarray(), c.COUNT_SCALE * some.counts, c.PRIOR_SCALE * some.prior)
    )
    left = gain - c.LENGTH_SHARE * some.length - c.PRIOR_SHARE * some.prior
    exact = np.linalg.solve(
        dense.T @ dense + c.PENALTY * np.eye(dense.shape[1]), dense.T @ (left - left.mean())
    )
    assert found.grams == pytest.approx(exact[:30], abs=3e-4)
    assert found.counts == pytest.approx(c.COUNT_SCALE * exact[30:32], abs=3e-4)


def test_borrowed_labels_count_less():
    own, other = terms(40, seed=1), terms(400, seed=2)
    gain_own, gain_other = standard(own.prior), standard(-other.prior)

    def fitted(share: float) -> float:
        weight = np.concatenate((np.ones(40), np.full(400, share)))
        both = Terms(
            sp.vstack([own.grams, other.grams], format="csr"),
            np.vstack((own.counts, other.counts)),
            np.concatenate((own.length, other.length)),
            np.concatenate((own.prior, other.prior)),
            weight,
        )
        return correct(both, np.concatenate((gain_own, gain_other))).prior

    assert fitted(0.01) > fitted(0.3) > fitted(1.0)
