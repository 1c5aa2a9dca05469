"""Fitting: the scorer's heads for one's own traffic, each from where the prior has it.

A group with few labels also learns from those of the other groups, which count less the more of
its own it has. What is fitted is the gain: quality of the strongest tier less that of the others.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from pointsman.core.types import Reading
from pointsman.scorer.heads import Head, Heads, Linear, pack_heads
from pointsman.scorer.reading import COUNT_OF_LENGTH, COUNTS
from pointsman.training.correction import Corrected, Terms, correct, unseen_values
from pointsman.training.curves import measure_curves
from pointsman.training.design import design
from pointsman.training.labels import Labels
from pointsman.training.metrics import Floats

GROUP_LABELS_MIN = 20
_BORROWED = 50.0  # labels of other groups count as this many of one's own, while those are none
_BORROWED_MIN = 0.05
_UNIT_MAX = 127
_NEUTRAL = 128  # the byte of a gram without weight
_TOKENS_IMAGINED = 20.0
_TINY = 1e-9
_SAME = 1e-6  # deviation below which a column does not vary
_PLACES = 6

Names: TypeAlias = NDArray[np.str_]
Tick: TypeAlias = Callable[[str], None]


def fit_heads(
    labels: Labels, prior: Heads, *, is_sample: bool = True, tick: Tick = lambda _: None
) -> Heads:
    """Return the prior's heads with those of the groups that have enough labels fitted anew.

    `labels`: requests that the strongest tier and another answered. `is_sample`: whether they are a
    random sample of the traffic; else they say what ranks above what, but not how much is at stake
    on what was never tried, and the prior's curves stay. `tick` is told each group. Groups with
    less than 20 keep the prior's head, or that of the group which stands in for it.
    """
    readings = labels.readings
    groups = np.array([reading.group for reading in readings])
    names, counts = np.unique(groups, return_counts=True)
    enough = [str(name) for name, n in zip(names, counts, strict=True) if n >= GROUP_LABELS_MIN]
    gains = _gains(labels, groups)
    fitted: dict[str, Head] = {}
    for name in enough:
        tick(name)
        fitted[name] = _fit_group(name, readings, groups, gains, labels, prior[name], is_sample)
    stand_ins = {group: other for group, other in prior.stand_ins.items() if group not in fitted}
    version = _version(prior, fitted, stand_ins)
    return Heads(version, {**prior.by_group, **fitted}, stand_ins)


def fitted_groups(heads: Heads, prior: Heads) -> tuple[str, ...]:
    """Return the groups whose heads are not the prior's."""
    return tuple(
        sorted(name for name, head in heads.by_group.items() if prior.by_group.get(name) != head)
    )


def only_fitted(heads: Heads, prior: Heads) -> Heads:
    """Return the heads that are not the prior's: all that a tuning has to carry."""
    changed = {name: heads.by_group[name] for name in fitted_groups(heads, prior)}
    return Heads(heads.version, changed, heads.stand_ins)


def _gains(labels: Labels, groups: Names) -> Floats:
    """Return each request's gain less its group's mean, (n,), over the tiers that answered it."""
    apart = labels.quality[:, -1:] - labels.quality[:, :-1]
    for name in np.unique(groups):
        rows = groups == name
        apart[rows] -= np.nanmean(apart[rows], axis=0, keepdims=True) if rows.any() else 0.0
    gains: Floats = np.nanmean(apart, axis=1)
    return gains


def _fit_group(
    name: str,
    readings: Sequence[Reading],
    groups: Names,
    gains: Floats,
    labels: Labels,
    prior: Head,
    is_sample: bool,
) -> Head:
    own = groups == name
    share = _BORROWED / (_BORROWED + int(own.sum()))
    rows = np.flatnonzero(own if share < _BORROWED_MIN else np.ones(len(groups), dtype=bool))
    some, own = [readings[row] for row in rows.tolist()], own[rows]
    grams, counts = design(some, COUNTS)
    needs = np.array([prior.need(reading) for reading in some])
    scaled = _standardised(np.column_stack((counts, needs)), groups[rows])
    terms = Terms(
        grams=grams,
        counts=scaled[:, :-1],
        length=scaled[:, COUNT_OF_LENGTH],
        prior=scaled[:, -1],
        weight=np.where(own, 1.0, share),
    )
    gain = gains[rows] / max(float(gains[rows][own].std()), _TINY)
    unseen = unseen_values(terms, gain)[own]
    placed = _Placed(correct(terms, gain), unseen, counts[own], needs[own], prior)
    return placed.head(name, labels.pick(rows[own]), is_sample=is_sample)


class _Placed:
    """A corrected need on the scale of the prior's: same mean and deviation over its own labels."""

    def __init__(
        self, found: Corrected, unseen: Floats, counts: Floats, needs: Floats, prior: Head
    ) -> None:
        self._found, self._prior = found, prior
        self._means, self._scales = counts.mean(axis=0), _scales(counts)
        self._need_mean, self._need_scale = float(needs.mean()), float(_scales(needs[:, None])[0])
        self._middle = float(unseen.mean())
        self._stretch = float(needs.std() or 1.0) / max(float(unseen.std()), _TINY)
        self._unseen_needs = self._need_mean + self._stretch * (unseen - self._middle)

    def head(self, group: str, labels: Labels, *, is_sample: bool) -> Head:
        """Return the head, its curves measured on needs by fits that had not seen the request."""
        prior, stretch = self._prior.rules, self._stretch
        from_prior = stretch * self._found.prior * self._need_scale
        table = np.frombuffer(self._prior.table, dtype=np.uint8).astype(float) - _NEUTRAL
        grams = stretch * self._found.grams + from_prior * prior.gram_unit * table
        unit = max(float(np.abs(grams).max()) / _UNIT_MAX, _TINY)
        weights = stretch * self._scales * self._found.counts
        weights[COUNT_OF_LENGTH] += stretch * self._found.length * self._scales[COUNT_OF_LENGTH]
        bias = self._need_mean - stretch * self._middle - float(weights @ self._means)
        bias += from_prior * (prior.need.bias - self._need_mean)
        weights[: len(prior.need.weights)] += from_prior * np.array(prior.need.weights)
        rules = msgspec.structs.replace(
            prior,
            group=group,  # the prior may be that of a group that stands in for this one
            need=_linear(bias, weights),
            gram_unit=unit,
            output_tokens=_output_tokens(prior.output_tokens, labels),
            count_means=tuple(round(float(mean), _PLACES) for mean in self._means),
            curves=measure_curves(prior.curves, self._unseen_needs, _mean_gains(labels))
            if is_sample
            else prior.curves,
        )
        return Head(rules, bytes((np.rint(grams / unit).astype(int) + _NEUTRAL).tolist()))


def _scales(columns: Floats) -> Floats:
    """Return one over each column's deviation, 0 for a column that does not vary."""
    widths = columns.std(axis=0)
    return np.where(widths > _SAME, 1.0 / np.maximum(widths, _SAME), 0.0)


def _standardised(columns: Floats, groups: Names) -> Floats:
    """Return the columns with mean 0 and deviation 1 within each group."""
    scaled = np.zeros_like(columns)
    for name in np.unique(groups):
        rows = groups == name
        scaled[rows] = (columns[rows] - columns[rows].mean(axis=0)) * _scales(columns[rows])
    return scaled


def _mean_gains(labels: Labels) -> Floats:
    gains: Floats = np.nanmean(labels.quality[:, -1:] - labels.quality[:, :-1], axis=1)
    return gains


def _output_tokens(prior: Linear, labels: Labels) -> Linear:
    """Return the prior with its level moved to the lengths of the answers, as far as known."""
    known = np.flatnonzero(np.isfinite(labels.log_tokens))
    some = labels.pick(known)
    expected = np.array([prior.value(reading.counts) for reading in some.readings], dtype=float)
    shift = float((some.log_tokens - expected).sum()) / (len(some) + _TOKENS_IMAGINED)
    return Linear(round(prior.bias + shift, _PLACES), prior.weights)


def _linear(bias: float, weights: Floats) -> Linear:
    return Linear(float(bias), tuple(float(weight) for weight in weights))


def _version(prior: Heads, fitted: dict[str, Head], stand_ins: Mapping[str, str]) -> str:
    """Return the prior's name with a check sum of what was fitted."""
    packed = pack_heads(Heads(prior.version, fitted, stand_ins))
    return f"{prior.version}+{zlib.crc32(packed):08x}"
