"""Ridge and design: what a fit finds, where it starts from, and how it takes readings."""

import numpy as np
import pytest
import scipy.sparse as sp

from pointsman.core.types import Reading
from pointsman.scorer.reading import COUNTS_OF_TEXT, read
from pointsman.training.design import design
from pointsman.training.ridge import Fit, Floats, ridge

N_GRAMS = 40


def a_sample(n: int = 300) -> tuple[sp.csr_array, Floats, Floats]:
    """Return grams, counts and a target that is 2 + 3 * count 0 - 5 * gram 7."""
    rng = np.random.default_rng(0)
    grams = sp.csr_array((rng.random((n, N_GRAMS)) < 0.2).astype(float))
    counts = rng.normal(size=(n, 3))
    target = 2 + 3 * counts[:, 0] - 5 * grams[:, [7]].toarray().ravel()
    return grams, counts, target


def test_a_light_penalty_finds_the_function():
    grams, counts, target = a_sample()
    fit = ridge(grams, counts, target, penalty=1e-6, count_scale=1.0)
    assert fit.counts == pytest.approx([3, 0, 0], abs=0.1)
    assert fit.grams[7] == pytest.approx(-5, abs=0.1)
    assert fit.values(grams, counts) == pytest.approx(target, abs=1)
    assert fit.values(grams, counts).mean() == pytest.approx(target.mean())


def test_a_heavy_penalty_leaves_the_mean():
    grams, counts, target = a_sample()
    fit = ridge(grams, counts, target, penalty=1e9, count_scale=1.0)
    assert fit.values(grams, counts) == pytest.approx(np.full(300, target.mean()), abs=1e-3)


def test_a_heavy_penalty_leaves_the_prior():
    grams, counts, target = a_sample()
    prior = Fit(1.0, np.array([0.0, 4.0, 0.0]), np.zeros(N_GRAMS))
    fit = ridge(grams, counts, target, penalty=1e9, count_scale=1.0, prior=prior)
    assert fit.counts == pytest.approx(prior.counts, abs=1e-3)


def test_a_row_of_weight_nothing_is_not_learned_from():
    grams, counts, target = a_sample()
    weights = np.ones(300)
    weights[:100] = 0
    spoiled = target.copy()
    spoiled[:100] = 99
    fit = ridge(grams, counts, spoiled, penalty=1e-6, count_scale=1.0, weights=weights)
    assert fit.counts == pytest.approx([3, 0, 0], abs=0.1)


def test_rarity_lets_a_rare_gram_move_further():
    grams = sp.csr_array(
        np.array([[1.0, 0], [1, 0], [1, 0], [0, 0], [0, 0], [0, 1], [0, 0], [0, 0]])
    )
    counts, target = np.zeros((8, 1)), np.array([1.0, 1, 1, 0, 0, 1, 0, 0])
    even = ridge(grams, counts, target, penalty=1.0, count_scale=1.0)
    rare = ridge(grams, counts, target, penalty=1.0, count_scale=1.0, rarity=0.5)
    assert rare.grams[1] / rare.grams[0] > even.grams[1] / even.grams[0]


def test_a_fit_is_the_same_every_time():
    first, again = (ridge(*a_sample(), penalty=1.0, count_scale=0.1) for _ in range(2))
    assert first.bias == again.bias
    assert (first.grams == again.grams).all()
    assert (first.counts == again.counts).all()


def test_a_design_has_rows_of_unit_length():
    readings = [read("one two three"), read("four"), Reading("chat", (0.0,) * 21, frozenset(), 0.0)]
    grams, counts = design(readings, COUNTS_OF_TEXT)
    assert grams.shape == (3, 65_536)
    assert counts.shape == (3, COUNTS_OF_TEXT)
    assert (grams * grams).sum(axis=1) == pytest.approx([1, 1, 0])
    assert set(grams[[0]].indices) == readings[0].grams


def test_a_design_of_nothing_is_empty():
    grams, counts = design([], COUNTS_OF_TEXT)
    assert grams.shape == (0, 65_536)
    assert counts.shape == (0, COUNTS_OF_TEXT)
