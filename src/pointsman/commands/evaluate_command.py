"""`evaluate`: what policies are worth on labelled requests, with intervals and a picture."""

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec
from cyclopts import Parameter

from pointsman.assembly import build_routing, policy_settings
from pointsman.clock import SystemClock
from pointsman.commands.terminal import OK, AsJson, ConfigPath, note, refuse, say, say_json
from pointsman.commands.train_command import progress, read_labels, require_extra
from pointsman.compare.bundled import DEFAULT, find_bundle
from pointsman.compare.chart_file import check_chart
from pointsman.compare.records import LeftOut
from pointsman.config import load_settings
from pointsman.core.errors import GatewayError
from pointsman.policies import PolicySettings

try:
    from pointsman.training.evaluation import default_policies, evaluate_policies
    from pointsman.training.evaluation_chart import write_chart
    from pointsman.training.evaluation_views import show_evaluation
    from pointsman.training.labels import Labels, gather
except ModuleNotFoundError as error:  # what the extra brings is not installed
    _missing = str(error.name)
else:
    _missing = ""

_INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


_Data: TypeAlias = Annotated[
    Path,
    Parameter(
        name="--data",
        help='JSONL: "prompt" or "messages", "scores" by model (0..1), "costs"; or "sample".',
    ),
]
_Policies: TypeAlias = Annotated[
    list[str] | None,
    Parameter(help="A policy's name, as routing.policy has it; may be repeated. Else all."),
]
_HeldOut: TypeAlias = Annotated[
    bool, Parameter(negative="", help="Only the 40% of the labels that `train` never fits on.")
]
_Chart: TypeAlias = Annotated[
    Path | None, Parameter(help="Also draw quality against cost, in this PNG or SVG file.")
]


def evaluate(
    *,
    data: _Data = Path(DEFAULT),
    policy: _Policies = None,
    held_out: _HeldOut = False,
    chart: _Chart = None,
    json: AsJson = False,
    config: ConfigPath = None,
) -> int:
    """Say what any installed policy is worth on labelled requests, each figure with its interval.

    Example: pointsman evaluate --data outcomes.jsonl --policy learned --chart quality.png
    """
    try:
        require_extra(_missing)
        if chart is not None:
            check_chart(chart)
        labels, policies = _labels(data, config)
        if held_out:
            labels = labels.split()[1]
        elif policies.tuning is not None and policies.tuning.data == data.name:
            note(f"the scorer in use was fitted on 60% of {data.name}; --held-out leaves that out")
        names = policy or default_policies(labels)
        with progress("Evaluating") as tick:
            found = evaluate_policies(labels, names, policies, data.name, tick)
            if chart is not None:
                tick("drawing")
                write_chart(found, chart)
        if json:
            say_json(found.evaluation)
        else:
            say(show_evaluation(found.evaluation))
        if chart is not None:
            note(f"Wrote {chart}.")
    except GatewayError as error:
        return refuse(error, json=json)
    except KeyboardInterrupt:
        note("interrupted; the labels are only read, and nothing was written")
        return _INTERRUPTED
    return OK


def _labels(data: Path, config: str | None) -> "tuple[Labels, PolicySettings]":
    """Return the labels and what policies are given: of bundled data by its own tiers."""
    bundle = find_bundle(data)
    if bundle is None:
        settings = load_settings(config, os.environ, needs_keys=False)
        routing = build_routing(settings, os.environ, clock=SystemClock())
        return read_labels(data, routing.snapshot), policy_settings(settings)
    policies = PolicySettings()
    if config is not None:
        policies = policy_settings(load_settings(config, os.environ, needs_keys=False))
    if bundle.words:
        note(bundle.words)
    labels = gather(bundle.read(LeftOut()), bundle.snapshot)
    return labels, msgspec.structs.replace(policies, is_held_out=bundle.is_held_out)
