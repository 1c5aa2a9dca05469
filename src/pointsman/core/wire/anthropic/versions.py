"""Versions: what a client may send under each of Anthropic's API versions, and which one we send.

Source: Anthropic's API reference, "Versions", and the migration notes of 2026-10-21
(platform.claude.com/docs/en/api/versioning, as told by the SDKs' migration guides, read
2026-11-23): from 2026-10-21 on, temperature, top_p and top_k are refused at any value, as are
documents in assistant messages and citations on text blocks in user messages.
"""

from collections.abc import Mapping, Sequence

from pointsman.core.types import Caller, Request, Step
from pointsman.core.wire.anthropic.models import takes_sampling

DIALECT = "anthropic"
SAMPLING = ("temperature", "top_p", "top_k")
WITH_SAMPLING = "2023-06-01"
NEWEST = "2026-10-21"

_VERSION, _BETA = "anthropic-version", "anthropic-beta"
_LENIENT = frozenset({"2023-01-01", WITH_SAMPLING})


def is_lenient(caller: Caller) -> bool:
    """Return whether the client speaks a version that takes what 2026-10-21 refuses.

    A client that names no version counts as one of 2023-06-01; one that names a version we do not
    know as one of the newest we know.
    """
    return _version(caller) in _LENIENT


def betas(caller: Caller) -> Sequence[str]:
    """Return the beta features that the client asks for, in its own order."""
    sent = ",".join(value for name, value in caller.headers if name == _BETA)
    return [beta.strip() for beta in sent.split(",") if beta.strip()]


def headers(asked: Request, step: Step) -> Mapping[str, str]:
    """Return the version and the beta features for an upstream.

    A client of this dialect keeps its own. For one of another, what is written needs no beta
    feature, and the version follows from the deployment, see `upstream_version`.
    """
    if asked.dialect != DIALECT:
        return {_VERSION: upstream_version(step)}
    wanted = betas(asked.caller)
    sent = {_VERSION: _version(asked.caller)}
    return {**sent, _BETA: ",".join(wanted)} if wanted else sent


def upstream_version(step: Step) -> str:
    """Return the version in which a client of another dialect is translated for a deployment.

    It is 2023-06-01 where the model takes sampling parameters, which later versions do not have,
    else the newest; `deployment.headers` may say otherwise.
    """
    deployment = step.deployment
    for name, value in deployment.headers.items():
        if name.lower() == _VERSION:
            return value
    is_taken = deployment.capability.sampling
    if is_taken is None:
        is_taken = takes_sampling(deployment.model)
    return WITH_SAMPLING if is_taken else NEWEST


def _version(caller: Caller) -> str:
    return next((value for name, value in caller.headers if name == _VERSION), "") or WITH_SAMPLING
