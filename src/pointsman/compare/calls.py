"""Calls: what one request costs on one deployment: as measured, else as estimated."""

from collections.abc import Mapping

import msgspec

from pointsman.compare.conversations import unwarmed
from pointsman.compare.model_names import ModelNames
from pointsman.compare.records import LoggedRequest, Outcome
from pointsman.core.prices import cost_nanousd
from pointsman.core.types import Deployment
from pointsman.core.usage import Usage

OUTPUT_TOKENS_ASSUMED = 250

_NO_OUTCOMES: dict[str, Outcome] = {}


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request at one deployment.

    `cost_nanousd` None: no price. `latency_ms` None: not measured, so by its `output_tokens`.
    `quality` None: no label. `estimated_tokens` of it are not as measured. `is_untimed`: several
    models were called in turn, and not all of them were timed.
    """

    tier: str
    deployment: str
    cost_nanousd: int | None
    estimated_tokens: int
    output_tokens: int
    latency_ms: int | None
    quality: float | None = None
    is_accepted: bool | None = None
    is_untimed: bool = False


class Known(msgspec.Struct, gc=False):
    """What a log has of one request, by the names of our deployments.

    `calls` keeps what was worked out already, for many strategies call the same deployment.
    """

    usage: Usage
    answered_by: frozenset[str]
    outcomes: Mapping[str, Outcome]
    latency_ms: int | None
    calls: dict[tuple[str, str, bool], Call]


def read_known(record: LoggedRequest, names: ModelNames) -> Known:
    """Return what the log has of a request."""
    outcomes = _NO_OUTCOMES
    if record.outcomes:
        outcomes = {id: it for name, it in record.outcomes.items() for id in names.ids(name)}
    return Known(
        usage=record.usage or _assumed(record),
        answered_by=names.ids(record.model),
        outcomes=outcomes,
        latency_ms=None if record.is_hit else record.latency_ms,
        calls={},
    )


def charge(
    known: Known, tier: str, name: str, deployment: Deployment, *, is_warm: bool, is_repriced: bool
) -> Call:
    """Return the call of a deployment, `name` by its id.

    `is_warm`: the provider's prompt cache gives what it gave in the log. `is_repriced`: a measured
    cost gives way to the measured tokens at the deployment's price, where both are known.
    """
    key = (tier, name, is_warm)
    call = known.calls.get(key)
    if call is None:
        outcome = known.outcomes.get(name) if known.outcomes else None
        if outcome is None:
            call = _estimated(known, tier, deployment, is_warm=is_warm)
        else:
            call = _measured(known, tier, deployment, outcome, is_repriced=is_repriced)
        known.calls[key] = call
    return call


def _estimated(known: Known, tier: str, deployment: Deployment, *, is_warm: bool) -> Call:
    usage, is_same = known.usage, deployment.id in known.answered_by
    if usage.is_estimated:
        estimated_tokens = usage.total_tokens
    else:
        estimated_tokens = 0 if is_same else usage.output_tokens
    if not is_warm and usage.cached_input_tokens:
        if not usage.is_estimated:
            estimated_tokens += usage.cached_input_tokens
        usage = unwarmed(usage)
    return Call(
        tier=tier,
        deployment=deployment.id,
        cost_nanousd=cost_nanousd(usage, deployment.price) if deployment.price else None,
        estimated_tokens=estimated_tokens,
        output_tokens=usage.output_tokens,
        latency_ms=known.latency_ms if is_same else None,
    )


def _measured(
    known: Known, tier: str, deployment: Deployment, outcome: Outcome, *, is_repriced: bool
) -> Call:
    usage, price, cost = outcome.usage, deployment.price, outcome.cost_nanousd
    estimated_tokens = 0
    if usage is not None and price is not None and (is_repriced or cost is None):
        cost = cost_nanousd(usage, price)
        estimated_tokens = usage.total_tokens if usage.is_estimated else 0
    elif cost is None and price is not None:
        cost = cost_nanousd(usage or known.usage, price)
        estimated_tokens = known.usage.total_tokens
    return Call(
        tier=tier,
        deployment=deployment.id,
        cost_nanousd=cost,
        estimated_tokens=estimated_tokens,
        output_tokens=(usage or known.usage).output_tokens,
        latency_ms=outcome.latency_ms,
        quality=outcome.quality,
        is_accepted=outcome.is_accepted,
    )


def _assumed(record: LoggedRequest) -> Usage:
    """Return the tokens of a request whose answer nobody knows.

    Where other models' answers are known, as many as these have on average.
    """
    measured = [it.usage for it in record.outcomes.values() if it.usage is not None]
    if measured:
        return Usage(
            input_tokens=round(sum(it.input_tokens for it in measured) / len(measured)),
            output_tokens=round(sum(it.output_tokens for it in measured) / len(measured)),
            is_estimated=True,
        )
    bound = record.features.max_tokens
    assumed = OUTPUT_TOKENS_ASSUMED if bound is None else min(bound, OUTPUT_TOKENS_ASSUMED)
    return Usage(
        input_tokens=record.features.input_tokens, output_tokens=assumed, is_estimated=True
    )
