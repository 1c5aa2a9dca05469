"""Filters: drop what cannot serve a request, before any policy, and say why."""

from collections.abc import Sequence

import msgspec

from pointsman.core.errors import NoCapableModel
from pointsman.core.types import SOFT_NEEDS, Deployment, Features, Filtered, Need, Tier
from pointsman.core.wire import upstream_codec


def capable(
    features: Features, tiers: Sequence[Tier]
) -> tuple[tuple[Tier, ...], tuple[Filtered, ...]]:
    """Return the tiers with the deployments that can serve, and what was left out.

    Where none can, the soft needs are let go.
    """
    left, out = _capable(features, tiers)
    if left or not features.needs & SOFT_NEEDS:
        return left, out
    return _capable(msgspec.structs.replace(features, needs=features.needs - SOFT_NEEDS), tiers)


def _capable(
    features: Features, tiers: Sequence[Tier]
) -> tuple[tuple[Tier, ...], tuple[Filtered, ...]]:
    left: list[Tier] = []
    out: list[Filtered] = []
    for tier in tiers:
        fit: list[Deployment] = []
        for deployment in tier.deployments:
            need, why = unmet(features, deployment, tier.max_tokens)
            if need:
                out.append(
                    Filtered(tier=tier.name, deployment=deployment.id, need=need, reason=why)
                )
            else:
                fit.append(deployment)
        if len(fit) == len(tier.deployments):
            left.append(tier)
        elif fit:
            left.append(msgspec.structs.replace(tier, deployments=tuple(fit)))
    return tuple(left), tuple(out)


def unmet(features: Features, deployment: Deployment, max_tokens: int | None) -> tuple[str, str]:
    """Return the first need that a deployment cannot meet and why, or two empty strings.

    `max_tokens` is the tier's, for a client that sets none.
    """
    capability = deployment.capability
    if features.dialect and features.dialect != deployment.dialect:
        for need in sorted(
            features.needs & upstream_codec(features.dialect, deployment.dialect).lacks
        ):
            return need, f"its dialect {deployment.dialect} cannot say it"
    if Need.IMAGES in features.needs and capability.images is False:
        return Need.IMAGES, "it reads no images"
    if Need.TOOLS in features.needs and capability.tools is False:
        return Need.TOOLS, "it calls no tools"
    if Need.JSON_SCHEMA in features.needs and capability.json_schema is False:
        return Need.JSON_SCHEMA, "it takes no JSON schema"
    window = capability.context_tokens
    wanted = features.max_tokens or max_tokens or 0
    if window is not None and features.input_tokens + wanted > window:
        room = f"{features.input_tokens} (estimated) + {wanted} tokens do not fit {window}"
        return "context", room
    return "", ""


def incapable(
    features: Features, tiers: Sequence[Tier], filtered: Sequence[Filtered]
) -> NoCapableModel:
    """Return the refusal, which says which need nobody meets, or that nobody meets them all."""
    names = {tier.name for tier in tiers}
    filtered = [entry for entry in filtered if entry.tier in names]
    total = sum(len(tier.deployments) for tier in tiers)
    for need in (*sorted(features.needs), "context"):
        hits = [entry for entry in filtered if entry.need == need]
        if len(hits) == total:
            return NoCapableModel(
                f"no configured model meets the need {need}: {_reasons(hits)}; "
                "configure one that does, or ask without it"
            )
    needs = ", ".join(dict.fromkeys(entry.need for entry in filtered))
    return NoCapableModel(
        f"no configured model meets all the needs {needs}: {_reasons(filtered)}; "
        "configure one that does, or ask without one of them"
    )


def _reasons(filtered: Sequence[Filtered]) -> str:
    return ", ".join(dict.fromkeys(f"{entry.deployment} ({entry.reason})" for entry in filtered))
