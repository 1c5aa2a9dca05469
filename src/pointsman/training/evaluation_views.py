"""Evaluation views: what policies are worth, as text; figures in brackets are 95% intervals."""

from collections.abc import Iterator

from pointsman.training.evaluation import Evaluation
from pointsman.training.metrics import Figure
from pointsman.training.views import align, number, share


def show_evaluation(evaluation: Evaluation) -> str:
    """Return an evaluation as text: rankings, then what the policies would do as they are."""
    return "\n".join(_blocks(evaluation))


def _blocks(evaluation: Evaluation) -> Iterator[str]:
    tiers = zip(evaluation.tiers, evaluation.models, strict=True)
    left_out = (
        f"; {evaluation.left_out:,} without one of every tier are left out"
        if evaluation.left_out
        else ""
    )
    yield f"{evaluation.labels:,} labelled requests from {evaluation.data}{left_out}"
    yield "tiers: " + ", ".join(f"{tier} is {model}" for tier, model in tiers)
    if evaluation.costs_estimated:
        yield f"{evaluation.costs_estimated:,} costs are estimated from expected tokens"
    yield ""
    yield from _rankings(evaluation)
    yield ""
    yield from _as_routed(evaluation)
    yield ""
    yield from _calibration(evaluation)
    yield f"decision times: {evaluation.timed}"


def _rankings(evaluation: Evaluation) -> Iterator[str]:
    heads = ("ranking*", "APGR", "CPT(50)", "CPT(80)", "saved at 95%", "saved at 99%", "AIQ")
    yield align(
        heads,
        [
            (
                it.policy,
                number(it.apgr),
                share(it.cpt50),
                share(it.cpt80),
                share(it.saving95),
                share(it.saving99),
                number(it.aiq),
            )
            for it in evaluation.scores
            if it.apgr.value is not None or it.aiq.value is not None
        ],
    )
    yield (
        "* cheapest against strongest tier, in hindsight; random has an APGR of 0.5, a CPT(50) of"
        " 50%. A policy that only picks tiers has no ranking."
    )


def _as_routed(evaluation: Evaluation) -> Iterator[str]:
    heads = ("as it routes", "quality", "kept", "saved", "sent down", "p50 us", "p99 us")
    yield align(
        heads,
        [
            (
                it.policy,
                number(it.quality),
                share(it.quality_kept),
                share(it.saving),
                share(it.share_down),
                _whole(it.latency_p50_us),
                _whole(it.latency_p99_us),
            )
            for it in evaluation.scores
            if it.quality.value is not None
        ],
    )
    yield "kept and saved: of the quality and the cost of the strongest tier for all"


def _calibration(evaluation: Evaluation) -> Iterator[str]:
    for it in evaluation.scores:
        if it.calibration_error:
            by_tier = (f"{tier} {number(error)}" for tier, error in it.calibration_error.items())
            yield f"calibration error of {it.policy}: {', '.join(by_tier)}"


def _whole(figure: Figure) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "-"
    return f"{figure.value:.0f} [{figure.low:.0f}, {figure.high:.0f}]"
