"""Evaluation: what policies are worth on labelled requests, ours and third parties' alike."""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from time import perf_counter_ns
from typing import TypeAlias

import msgspec
import numpy as np

from pointsman.core.decision import Policy, Target, decide
from pointsman.core.errors import ConfigError, GatewayError
from pointsman.core.types import Features
from pointsman.policies import PolicySettings
from pointsman.policies.registry import build_policy, policy_names
from pointsman.training.deciding import Routed, outcome_figures, route, servable
from pointsman.training.labels import Labels, with_reading
from pointsman.training.metrics import (
    UNKNOWN,
    Figure,
    Floats,
    Places,
    calibration_error,
    rank_figures,
    with_intervals,
)

LENGTH = "length alone"
LABELS_MIN = 20
_FIXED, _NOT_FROM_LABELS = "fixed:", "cascade"
_TIMED_MIN, _TIMED_MAX, _WARM_UP = 500, 2_000, 50

Tick: TypeAlias = Callable[[str], None]


class PolicyScore(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy is worth; figures that it or the data cannot give are unknown.

    `apgr`, `cpt50`, `cpt80`, `saving95`, `saving99` and `aiq` (see `metrics`) are of the ranking by
    its scores, cheapest against strongest tier, in hindsight. `quality` to `share_down` (see
    `deciding.outcome_figures`) are of the tiers that it picks. `calibration_error`: by tier, of its
    scores as predictions of quality. `latency_p50_us`, `latency_p99_us`: of a decision.
    """

    policy: str
    apgr: Figure = UNKNOWN
    cpt50: Figure = UNKNOWN
    cpt80: Figure = UNKNOWN
    saving95: Figure = UNKNOWN
    saving99: Figure = UNKNOWN
    aiq: Figure = UNKNOWN
    quality: Figure = UNKNOWN
    cost_usd: Figure = UNKNOWN
    quality_kept: Figure = UNKNOWN
    saving: Figure = UNKNOWN
    share_down: Figure = UNKNOWN
    calibration_error: Mapping[str, Figure] = {}
    latency_p50_us: Figure = UNKNOWN
    latency_p99_us: Figure = UNKNOWN


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What the policies are worth on one set of labels.

    `labels` have an outcome of every tier; `left_out` have not, or some tier cannot serve them.
    `costs_estimated`: how many costs were worked out from expected tokens. `timed`: how decisions
    were timed.
    """

    data: str
    tiers: tuple[str, ...]
    models: tuple[str, ...]
    labels: int
    left_out: int
    costs_estimated: int
    scores: tuple[PolicyScore, ...]
    timed: str


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation with what a picture of it needs: the labels, and each ranking's need (n,)."""

    evaluation: Evaluation
    labels: Labels
    needs: Mapping[str, Floats]


def default_policies(labels: Labels) -> tuple[str, ...]:
    """Return every policy that labels can say something of, and each tier on its own."""
    fixed = [f"{_FIXED}{name}" for name in labels.snapshot.names]
    names = [it for it in policy_names() if it != _NOT_FROM_LABELS and not it.startswith(_FIXED)]
    return (*names, *fixed)


def evaluate_policies(
    labels: Labels,
    names: Sequence[str],
    settings: PolicySettings,
    data: str,
    tick: Tick = lambda _: None,
) -> Evaluated:
    """Return what the policies of these names are worth, and length alone beside them.

    Raises ConfigError for a name that there is not, or too few labels.
    """
    whole = servable(labels).complete()
    if len(whole) < LABELS_MIN:
        raise ConfigError(
            f"{len(whole)} labels have an outcome of every tier's model"
            f" ({', '.join(labels.models)}); {LABELS_MIN} are needed"
        )
    scores, needs = [], {}
    for name in names:
        tick(name)
        policy = _policy(name, settings)
        routed = _routed(whole, policy)
        if routed.need is not None:
            needs[name] = routed.need
        scores.append(_score(name, routed, whole, _timings(whole, policy)))
    needs[LENGTH] = whole.lengths()
    scores.append(_with(PolicyScore(policy=LENGTH), _ranked(needs[LENGTH], whole)))
    evaluation = Evaluation(
        data=data,
        tiers=whole.snapshot.names,
        models=whole.models,
        labels=len(whole),
        left_out=len(labels) - len(whole),
        costs_estimated=whole.costs_estimated,
        scores=tuple(scores),
        timed=_how_timed(whole),
    )
    return Evaluated(evaluation, whole, needs)


def _policy(name: str, settings: PolicySettings) -> Policy:
    if name.partition(":")[0] == _NOT_FROM_LABELS:
        raise ConfigError(
            "--policy cascade: what it does hangs on drafts and verdicts, which labels do not have;"
            " `pointsman compare` plays it"
        )
    return build_policy(name, settings)


def _routed(labels: Labels, policy: Policy) -> Routed:
    """Return what a policy decides. Raises ConfigError where a third party's code fails."""
    try:
        return route(labels, policy)
    except GatewayError:
        raise
    except Exception as error:  # a third party's code may raise anything
        raise ConfigError(
            f'the policy "{policy.name}" fails on a request: {error!r}; mend it or leave it out'
        ) from error


def _score(name: str, routed: Routed, labels: Labels, timings_us: Floats) -> PolicyScore:
    ranked = {} if routed.need is None else _ranked(routed.need, labels)
    figures = {**ranked, **outcome_figures(labels, routed.places), **_latency(timings_us)}
    bare = PolicyScore(policy=name, calibration_error=_calibration(routed, labels))
    return _with(bare, figures)


def _with(score: PolicyScore, figures: Mapping[str, Figure]) -> PolicyScore:
    return msgspec.structs.replace(score, **figures)


def _ranked(need: Floats, labels: Labels) -> dict[str, Figure]:
    pair = labels.pair()

    def figures(rows: Places) -> dict[str, float]:
        return rank_figures(need[rows], pair.pick(rows))

    return with_intervals(figures, len(labels))


def _calibration(routed: Routed, labels: Labels) -> dict[str, Figure]:
    """Return the calibration error by tier, none where the scores are no qualities 0..1."""
    predicted, names = routed.predicted, labels.snapshot.names
    if predicted is None or predicted.min() < 0 or predicted.max() > 1:
        return {}

    def figures(rows: Places) -> dict[str, float]:
        return {
            name: calibration_error(predicted[rows, place], labels.quality[rows, place])
            for place, name in enumerate(names)
        }

    return with_intervals(figures, len(labels))


def _timings(labels: Labels, policy: Policy) -> Floats:
    """Return what decisions took, one by one, in microseconds, (500 to 2,000,)."""
    timed = [_as_asked(features) for features in labels.features[:_TIMED_MAX]]
    for features in timed[:_WARM_UP]:
        decide(features, Target(), labels.snapshot, policy)
    taken = []
    for features in islice(cycle(timed), max(len(timed), _TIMED_MIN)):
        began = perf_counter_ns()
        decide(features, Target(), labels.snapshot, policy)
        taken.append((perf_counter_ns() - began) / 1_000)
    return np.array(taken)


def _as_asked(features: Features) -> Features:
    """Return the features as a request brings them: with the text still to be read, if it came."""
    unread = msgspec.structs.replace(features, reading=None)
    return unread if with_reading(unread).reading == features.reading else features


def _latency(timings_us: Floats) -> dict[str, Figure]:
    def figures(rows: Places) -> dict[str, float]:
        p50, p99 = np.percentile(timings_us[rows], (50, 99))
        return {"latency_p50_us": float(p50), "latency_p99_us": float(p99)}

    return with_intervals(figures, len(timings_us))


def _how_timed(labels: Labels) -> str:
    has_text = any(_as_asked(features).reading is None for features in labels.features)
    what = "from text to decision" if has_text else "from a stored reading, without the text"
    return (
        f"one decision at a time, {what}, one thread, Python {platform.python_version()} on"
        f" {platform.system()} {platform.machine()}, on this machine as busy as it was"
    )
