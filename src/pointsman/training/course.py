"""Course: the whole of training, from labels to a tuning worth installing, or to why it is not.

Sixty per cent of the labels are fitted on; the other forty, told apart by a hash of what was asked,
judge the result and certify it. What was fitted on them would prove nothing.
"""

from base64 import b85encode
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TypeAlias

import msgspec

from pointsman.core.errors import ConfigError
from pointsman.policies import PolicySettings
from pointsman.scorer.calibration import GroupCalibration
from pointsman.scorer.heads import Heads, pack_heads
from pointsman.scorer.model import Scorer, shipped
from pointsman.scorer.tuning import Tuning
from pointsman.training.certifying import Certification, certify, own_groups
from pointsman.training.contest import Ranking, judge_held_out
from pointsman.training.deciding import servable
from pointsman.training.fitting import fit_heads, fitted_groups, only_fitted
from pointsman.training.labels import Labels
from pointsman.training.qualities import measure_models, merged

LABELS_MIN = 80
HELD_OUT_MIN = 20

Tick: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What training is to go by. `settings.tuning` is the one in use, None for what is shipped.

    `confidence`: of the certificate. `data`: where the labels came from. `is_sample`: whether they
    are a random sample of the traffic, without which there is no certificate. `made_on`: ISO date.
    `keep_scorer`: fit nothing; measure the models and certify the scorer in use.
    """

    settings: PolicySettings
    confidence: float
    data: str
    made_on: str
    is_sample: bool = True
    keep_scorer: bool = False


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One group: how many labels it was fitted on and judged by, and whether it was fitted anew."""

    name: str
    labels: int
    held_out: int
    is_fitted: bool


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What training came to. `faults`: why the result must not be installed; empty: it may be.

    `models`: the tiers' first ones, cheapest first; `qualities`: their mean qualities held out.
    `beats_length`, `beats_in_use`: shares of the bootstrap draws in which the new scorer is ahead.
    `groups_proven`: by the certificate's calibration. `left_out`: labels that some tier cannot
    serve. `seconds`: for fitting alone.
    """

    data: str
    models: tuple[str, ...]
    labels: int
    one_sided: int
    fitted_on: int
    held_out: int
    qualities: tuple[float, ...]
    groups: tuple[Group, ...]
    rankings: tuple[Ranking, ...]
    beats_length: float
    beats_in_use: float
    floor: float
    confidence: float
    groups_proven: tuple[GroupCalibration, ...]
    certificate_note: str
    left_out: int
    faults: tuple[str, ...]
    seconds: float
    tuning: Tuning


def take_course(labels: Labels, plan: Plan, tick: Tick = lambda _: None) -> Course:
    """Return what labels teach, and whether it is worth installing.

    Raises ConfigError where there are too few labels to fit on or to judge by.
    """
    to_fit, to_judge = (servable(part) for part in labels.split())
    fit_on, rest = to_fit.compared(), to_judge.compared()
    held_out = rest.complete()
    _require_enough(len(fit_on) + len(rest), held_out)
    began_at = perf_counter()
    heads = _heads(fit_on, plan, tick)
    seconds = perf_counter() - began_at
    tick("certifying")
    tuning, proof = _tuned(to_fit, heads, fit_on, held_out, plan)
    tick("judging")
    judged = judge_held_out(held_out, plan.settings, tuning, is_kept=plan.keep_scorer)
    return Course(
        data=plan.data,
        models=labels.models,
        labels=len(fit_on) + len(rest),
        one_sided=len(labels) - len(fit_on) - len(rest),
        fitted_on=len(fit_on),
        held_out=len(held_out),
        qualities=tuple(round(float(mean), 4) for mean in held_out.quality.mean(axis=0)),
        groups=_groups(fit_on, held_out, frozenset(fitted_groups(heads, shipped().heads))),
        rankings=judged.rankings,
        beats_length=judged.beats_length,
        beats_in_use=judged.beats_in_use,
        floor=plan.settings.quality_floor,
        confidence=plan.confidence,
        groups_proven=proof.calibration.groups if proof else (),
        certificate_note=_certificate_note(plan, proof),
        left_out=len(labels) - len(to_fit) - len(to_judge),
        faults=judged.faults,
        seconds=round(seconds, 3),
        tuning=tuning,
    )


def _tuned(
    to_fit: Labels, heads: Heads, fit_on: Labels, held_out: Labels, plan: Plan
) -> tuple[Tuning, Certification | None]:
    """Return what is to be installed, with what the held-out labels prove of it.

    `to_fit`: `fit_on` and the answers of one tier alone, which say how good it is, too.
    """
    own = own_groups(held_out, floor=plan.settings.quality_floor, confidence=plan.confidence)
    before = plan.settings.tuning.measured if plan.settings.tuning else {}
    tuning = Tuning(
        scorer=heads.version,
        trained_on=plan.made_on,
        data=plan.data,
        labels=len(fit_on),
        heads=_packed(heads, shipped().heads),
        measured=merged(
            measure_models(to_fit, own, None if plan.is_sample else _in_use(plan)), before
        ),
    )
    proof = _certified(fit_on, held_out, plan, tuning, own)
    if proof is None:
        return tuning, None
    undecided = {it.group: it.labels_needed or 0 for it in proof.undecided}
    tuning = msgspec.structs.replace(tuning, certificate=proof.certificate, labels_needed=undecided)
    return tuning, proof


def _heads(fit_on: Labels, plan: Plan, tick: Tick) -> Heads:
    """Return the heads fitted to the labels, or those in use where these are to be kept."""
    if not plan.keep_scorer:
        return fit_heads(
            fit_on,
            shipped().heads,
            is_sample=plan.is_sample,
            tick=lambda group: tick(f"fitting {group}"),
        )
    return _in_use(plan).heads


def _in_use(plan: Plan) -> Scorer:
    tuning = plan.settings.tuning
    return shipped() if tuning is None else tuning.build_scorer()


def _packed(heads: Heads, prior: Heads) -> str:
    """Return the heads that differ from the prior's, "" where none does."""
    changed = only_fitted(heads, prior)
    return b85encode(pack_heads(changed)).decode("ascii") if changed.by_group else ""


def _certified(
    fit_on: Labels, held_out: Labels, plan: Plan, tuning: Tuning, own: tuple[str, ...]
) -> Certification | None:
    """Return what the held-out labels prove, None where no certificate can come of them."""
    if _no_certificate(plan):
        return None
    return certify(
        fit_on,
        held_out,
        msgspec.structs.replace(plan.settings, tuning=tuning),
        own=own,
        confidence=plan.confidence,
        data=plan.data,
        made_on=plan.made_on,
    )


def _no_certificate(plan: Plan) -> str:
    """Return why no certificate can be made, "" where one can."""
    if not plan.is_sample:
        return (
            "no certificate: these labels are of the requests that were audited or commented on,"
            " which is no random sample of your traffic; `--replay` makes one"
        )
    if plan.settings.goal == "budget":
        return 'no certificate: with routing.goal = "budget" no floor of quality is kept'
    if not 0 < plan.settings.quality_floor < 1:
        return f"no certificate: a floor of {plan.settings.quality_floor:g} cannot be proven"
    return ""


def _certificate_note(plan: Plan, proof: Certification | None) -> str:
    if proof is None:
        return _no_certificate(plan)
    if proof.certificate is None:
        return "no certificate: no group has enough held-out labels yet"
    return proof.certificate.told()


def _groups(fit_on: Labels, held_out: Labels, fitted: frozenset[str]) -> tuple[Group, ...]:
    here = Counter(reading.group for reading in fit_on.readings)
    there = Counter(reading.group for reading in held_out.readings)
    return tuple(
        Group(name=name, labels=here[name], held_out=there[name], is_fitted=name in fitted)
        for name in sorted({*here, *there})
    )


def _require_enough(compared: int, held_out: Labels) -> None:
    """Raise ConfigError where labels are too few to fit on and to judge by."""
    names = ", ".join(held_out.models)
    if compared < LABELS_MIN:
        raise ConfigError(
            f"{compared} labels that compare the strongest tier with another;"
            f" {LABELS_MIN} are needed, {LABELS_MIN - compared} more"
        )
    if len(held_out) < HELD_OUT_MIN:
        raise ConfigError(
            f"of the held-out labels {len(held_out)} have an outcome of every tier's model"
            f" ({names}); {HELD_OUT_MIN} are needed"
        )
