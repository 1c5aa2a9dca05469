"""Filters: drop what cannot serve a request, before any policy, and say why."""

from collections.abc import Sequence

import msgspec

from pointsman.core.errors import NoCapableModel
from pointsman.core.tiers import Fit
from pointsman.core.types import SOFT_NEEDS, Deployment, Features, Filtered, Need, Tier
from pointsman.core.wire import upstream_codec

# As many different needs of requests are kept for each tier; of more, the oldest are forgotten.
_FITS_MAX = 64


def capable(
    features: Features, tiers: tuple[Tier, ...]
) -> tuple[tuple[Tier, ...], tuple[Filtered, ...]]:
    """Return the tiers with the deployments that can serve, and what was left out.

    Where none can, the soft needs are let go. Where all can, the very tiers come back.
    """
    key = features.dialect, features.needs
    tokens, asked = features.input_tokens, features.max_tokens
    for tier in tiers:  # mostly all can, which takes no lists to say
        fit = tier.fits.get(key)
        if fit is None or fit.filtered:
            break
        window = fit.context_tokens
        if window is not None and tokens + (asked or tier.max_tokens or 0) > window:
            break
    else:
        return tiers, ()
    left, out = _capable(features, features.needs, tiers)
    if left or not features.needs & SOFT_NEEDS:
        return left, out
    return _capable(features, features.needs - SOFT_NEEDS, tiers)


def _capable(
    features: Features, needs: frozenset[Need], tiers: tuple[Tier, ...]
) -> tuple[tuple[Tier, ...], tuple[Filtered, ...]]:
    left: list[Tier] = []
    out: tuple[Filtered, ...] = ()
    key = features.dialect, needs
    for tier in tiers:
        fit = tier.fits.get(key) or _kept_fit(tier, *key)
        window = fit.context_tokens
        wanted = features.max_tokens or tier.max_tokens or 0
        if window is not None and features.input_tokens + wanted > window:
            fit = _fit(tier, *key, (features.input_tokens, wanted))
        if fit.tier is not None:
            left.append(fit.tier)
        out += fit.filtered
    return (tuple(left), out) if out else (tiers, ())


def _kept_fit(tier: Tier, dialect: str, needs: frozenset[Need]) -> Fit:
    """Return the fit of a request of any length, kept for the next one that has these needs."""
    found = _fit(tier, dialect, needs)
    if len(tier.fits) >= _FITS_MAX:
        tier.fits.pop(next(iter(tier.fits)))
    tier.fits[dialect, needs] = found
    return found


def _fit(tier: Tier, dialect: str, needs: frozenset[Need], size: tuple[int, int] = (0, 0)) -> Fit:
    """Return who of a tier can serve. `size`: tokens of the input (estimated) and of the answer."""
    fit: list[Deployment] = []
    out: list[Filtered] = []
    for deployment in tier.deployments:
        need, why = _unmet(deployment, dialect, needs, *size)
        if need:
            out.append(Filtered(tier=tier.name, deployment=deployment.id, need=need, reason=why))
        else:
            fit.append(deployment)
    left: Tier | None = tier
    if out:
        left = msgspec.structs.replace(tier, deployments=tuple(fit)) if fit else None
    windows = (deployment.capability.context_tokens for deployment in fit)
    known = (window for window in windows if window is not None)
    return Fit(tier=left, filtered=tuple(out), context_tokens=min(known, default=None))


def unmet(features: Features, deployment: Deployment, max_tokens: int | None) -> tuple[str, str]:
    """Return the first need that a deployment cannot meet and why, or two empty strings.

    `max_tokens` is the tier's, for a client that sets none.
    """
    wanted = features.max_tokens or max_tokens or 0
    return _unmet(deployment, features.dialect, features.needs, features.input_tokens, wanted)


def _unmet(
    deployment: Deployment, dialect: str, needs: frozenset[Need], input_tokens: int, wanted: int
) -> tuple[str, str]:
    capability = deployment.capability
    if dialect and dialect != deployment.dialect:
        for need in sorted(needs & upstream_codec(dialect, deployment.dialect).lacks):
            return need, f"its dialect {deployment.dialect} cannot say it"
    if Need.IMAGES in needs and capability.images is False:
        return Need.IMAGES, "it reads no images"
    if Need.TOOLS in needs and capability.tools is False:
        return Need.TOOLS, "it calls no tools"
    if Need.JSON_SCHEMA in needs and capability.json_schema is False:
        return Need.JSON_SCHEMA, "it takes no JSON schema"
    window = capability.context_tokens
    if window is not None and input_tokens + wanted > window:
        room = f"{input_tokens} (estimated) + {wanted} tokens do not fit {window}"
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
