"""Ridge: a linear function of grams and counts, fitted with a penalty on how large it is.

Sums are taken by numpy and scipy alone, not by BLAS, whose order depends on the machine's threads.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS_MAX = 60
_STOP_AT = 1e-7  # of the first squared residual
_TINY = 1e-6
_DIGITS = 9  # kept of each weight, so that the last bits of a sum leave no trace


@dataclass(frozen=True, slots=True)
class Fit:
    """value = bias + counts @ `counts` + grams @ `grams`; (n_counts,) and (n_grams,)."""

    bias: float
    counts: Floats
    grams: Floats

    def values(self, grams: sp.csr_array, counts: Floats) -> Floats:
        """Return the value of each row, (n,)."""
        found: Floats = self.bias + (counts * self.counts).sum(axis=1) + grams @ self.grams
        return found


def ridge(
    grams: sp.csr_array,
    counts: Floats,
    target: Floats,
    *,
    penalty: float,
    count_scale: float,
    rarity: float = 0.0,
    weights: Floats | None = None,
    prior: Fit | None = None,
) -> Fit:
    """Return the weighted ridge fit, by conjugate gradients.

    Counts are centred and grams are not; the intercept, which is not penalised, then takes what is
    left over in the mean.

    grams: (n, n_grams).  counts: (n, n_counts), standardised within.  target, weights: (n,).
    count_scale: how freely counts may move, grams being 1.  rarity: >= 0, how much more freely a
    rare gram may move than a common one: as the power of how often it occurs.
    prior: what is fitted is the rest beyond it, and the penalty draws towards it.
    """
    if prior is not None:
        rest = ridge(
            grams,
            counts,
            target - prior.values(grams, counts),
            penalty=penalty,
            count_scale=count_scale,
            rarity=rarity,
            weights=weights,
        )
        return Fit(prior.bias + rest.bias, prior.counts + rest.counts, prior.grams + rest.grams)
    weight = np.ones(len(target)) if weights is None else weights / weights.mean()
    mean, width = _mean(counts, weight), counts.std(axis=0) + _TINY
    level = float(_mean(target, weight))
    scale = _gram_scale(grams, rarity)
    dense = (counts - mean) / width * count_scale
    root = sp.diags_array(np.sqrt(weight))
    whole = (root @ sp.hstack([grams @ sp.diags_array(scale), sp.csr_array(dense)])).tocsr()
    found = _solve(whole, np.sqrt(weight) * (target - level), penalty)
    fit = Fit(
        bias=0.0,
        counts=_rounded(found[grams.shape[1] :] * count_scale / width),
        grams=_rounded(found[: grams.shape[1]] * scale),
    )
    return replace(fit, bias=float(_mean(target - fit.values(grams, counts), weight)))


def _gram_scale(grams: sp.csr_array, rarity: float) -> Floats:
    """Return how freely each gram may move, 1 in the mean over all places where grams occur."""
    often = np.bincount(grams.indices, minlength=grams.shape[1]).astype(float)
    scale = (np.maximum(often, 1.0) / max(grams.shape[0], 1)) ** -rarity
    mean_square = float((scale * scale * often).sum() / max(often.sum(), 1.0))
    found: Floats = scale / np.sqrt(mean_square or 1.0)
    return found


def _solve(whole: sp.csr_array, target: Floats, penalty: float) -> Floats:
    """Return x that makes |whole @ x - target|^2 + penalty |x|^2 small."""
    turned = whole.T.tocsr()
    residual = turned @ target
    found, direction = np.zeros(whole.shape[1]), residual.copy()
    square = _dot(residual, residual)
    enough = _STOP_AT * square
    for _ in range(_STEPS_MAX):
        if square <= enough:
            break
        image = turned @ (whole @ direction) + penalty * direction
        step = square / _dot(direction, image)
        found += step * direction
        residual -= step * image
        square, before = _dot(residual, residual), square
        direction = residual + square / before * direction
    return found


def _dot(a: Floats, b: Floats) -> float:
    return float((a * b).sum())


def _mean(values: Floats, weight: Floats) -> Floats:
    found: Floats = (values.T * weight).sum(axis=-1) / weight.sum()
    return found


def _rounded(values: Floats) -> Floats:
    """Return the values with nine digits behind the largest one's first."""
    largest = float(np.abs(values).max(initial=0.0))
    places = _DIGITS - int(np.floor(np.log10(largest))) if largest else 0
    found: Floats = np.round(values, places)
    return found
