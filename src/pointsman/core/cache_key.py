"""Cache key: one name for all requests that may share an answer, and for no others."""

import hashlib
from collections.abc import Mapping

import msgspec

from pointsman.core.types import Decision, Request, Snapshot

# Raised whenever the key is made of other things than before: old answers are then never found.
SCHEMA = b"pointsman-key-1"


def answer_key(
    request: Request, decision: Decision, snapshot: Snapshot, *, shape: Mapping[str, object]
) -> bytes:
    """Return the key of the answer that a decision leads to.

    A part of it are all deployments that may answer, with their parameters and the tier's
    `max_tokens`, so that a changed configuration finds no old answers. `shape` is the codec's.
    """
    tier = snapshot.tier(decision.tier) if decision.tier else None
    chain = [
        (deployment.id, deployment.params)
        for deployment in (tier.deployments if tier else ())
        if deployment.id in decision.deployments
    ]
    params = [chain, tier and tier.max_tokens, decision.may_escalate, decision.must_verify]
    pinned = decision.deployments[0] if decision.policy == "pinned" else ""
    return cache_key(
        request,
        shape=shape,
        target=f"{decision.tier}\n{pinned}",
        params=msgspec.json.encode(params, order="sorted").decode(),
    )


def cache_key(request: Request, *, shape: Mapping[str, object], target: str, params: str) -> bytes:
    """Return the 32 bytes under which the answer is kept: SHA-256 over all that shapes it.

    `shape` is what the dialect's codec gives, decoded JSON; `target` and `params` are the resolved
    deployment or tier and its own parameters. Equal JSON gives equal keys however it is written:
    spacing, order of keys, escapes, 1 or 1.0.

    The tenant goes first and each part is led by its length, so no two tenants can ever feed the
    same bytes to the hash. The dialect is a part too: a field's name may mean something else there.
    """
    digest = hashlib.sha256(SCHEMA)
    for text in (request.caller.tenant, request.dialect, target, params):
        part = text.encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    digest.update(canonical_json(shape))
    return digest.digest()


def canonical_json(value: object) -> bytes:
    """Return decoded JSON as bytes that are equal where the JSON is: keys sorted at every depth."""
    encoded = msgspec.json.encode(value, order="sorted")
    if not _has_whole_float(value):
        return encoded
    return msgspec.json.encode(_numbers.decode(encoded), order="sorted")


def _has_whole_float(value: object) -> bool:
    """Return whether a number such as 1.0 occurs, which must give the same key as 1."""
    match value:
        case float():
            return value.is_integer()
        case dict():
            return any(map(_has_whole_float, value.values()))
        case list():
            return any(map(_has_whole_float, value))
        case _:
            return False


def _number(literal: str) -> int | float:
    value = float(literal)
    return int(value) if value.is_integer() else value


_numbers = msgspec.json.Decoder(float_hook=_number)
