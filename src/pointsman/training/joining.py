"""Joining: measures models by outcomes of their own, so that a new one need not be compared.

The heads are shared by all models; what is a model's own is how good it is in each group. A few
hundred outcomes say that, without any other model's answer to the same requests.
"""

from collections.abc import Mapping

import msgspec

from pointsman.scorer.model import shipped
from pointsman.scorer.tuning import Measured, Tuning
from pointsman.training.course import Plan
from pointsman.training.deciding import servable
from pointsman.training.labels import Labels
from pointsman.training.qualities import measure_models, merged

LABELS_MIN = 20  # of a model in a group, for it to count as measured: as `policies.outlooks` has it


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured, by model and group; the tuning has it, and all else as it was.

    `faults`: why it must not be installed; empty: it may be.
    """

    data: str
    labels: int
    measured: Mapping[str, Mapping[str, Measured]]
    faults: tuple[str, ...]
    tuning: Tuning


def join_models(labels: Labels, plan: Plan) -> Joined:
    """Return the tuning in use with the models of the labels measured, and no certificate.

    A certificate rests on losses that change with what is measured, so the former one is gone.
    """
    usable = servable(labels)
    found = measure_models(usable, ())
    enough = {
        model: groups
        for model, groups in found.items()
        if any(it.labels >= LABELS_MIN for it in groups.values())
    }
    before = plan.settings.tuning or Tuning(
        scorer=shipped().version, trained_on=plan.made_on, data=plan.data, labels=0
    )
    tuning = msgspec.structs.replace(
        before, measured=merged(enough, before.measured), certificate=None, labels_needed={}
    )
    needed = f"no model has {LABELS_MIN} labels in any group; so many are needed to measure one"
    return Joined(
        data=plan.data,
        labels=len(usable),
        measured=enough,
        faults=() if enough else (needed,),
        tuning=tuning,
    )


def show_joined(joined: Joined) -> str:
    """Return what was measured, as text."""
    lines = [
        f"{joined.labels:,} labels from {joined.data}; too few compare the tiers, so models are"
        " measured each by its own, as if all had been asked the same kind of requests"
    ]
    for model, groups in joined.measured.items():
        told = ", ".join(
            f"{name} {it.quality:.3f} ({it.labels:,} labels"
            + (")" if it.labels >= LABELS_MIN else ", too few to count)")
            for name, it in groups.items()
        )
        lines.append(f"{model}: {told}")
    lines.append(
        "no certificate: a floor is proven by requests that every tier answered; --replay asks them"
    )
    return "\n".join(lines)
