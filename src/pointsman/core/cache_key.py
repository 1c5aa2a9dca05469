"""Cache key: one name for all requests that may share an answer, and for no others."""

import hashlib
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TypeAlias

import msgspec

from pointsman.core.types import Decision, Request, Snapshot

# Raised whenever the key is made of other things than before: old answers are then never found.
SCHEMA = "pointsman-key-3"

KeyFacts: TypeAlias = tuple[str, tuple[str, ...], str, bool, bool]

# All that `answer_key` reads of a decision.
key_facts: Callable[[Decision], KeyFacts] = attrgetter(
    "tier", "deployments", "policy", "may_escalate", "must_verify"
)


def answer_key(
    request: Request, decision: Decision, snapshot: Snapshot, *, shape: Mapping[str, object]
) -> bytes:
    """Return the key of the answer that a decision leads to.

    A part of it are all deployments that may answer, with their parameters and the tier's
    `max_tokens`, so that a changed configuration finds no old answers. `shape` is the codec's.
    """
    chain, max_tokens = "", None
    if decision.tier:
        tier = snapshot.tier(decision.tier)
        max_tokens = tier.max_tokens
        if tier.ids != decision.deployments:
            named = frozenset(decision.deployments)
            left = tuple(it for it in tier.deployments if it.id in named)
            tier = msgspec.structs.replace(tier, deployments=left)
        chain = tier.chain_told
    pinned = decision.deployments[0] if decision.policy == "pinned" else ""
    return cache_key(
        request,
        shape=shape,
        target=f"{decision.tier}\n{pinned}",
        params=f"{chain}{max_tokens},{decision.may_escalate},{decision.must_verify}",
    )


def cache_key(request: Request, *, shape: Mapping[str, object], target: str, params: str) -> bytes:
    """Return the 32 bytes under which the answer is kept: SHA-256 over all that shapes it.

    `shape` is what the dialect's codec gives, decoded JSON whose whole numbers are ints; `target`
    and `params` are the resolved deployment or tier and its own parameters. Equal JSON gives equal
    keys however it is written: spacing, order of keys, escapes, 1 or 1.0.

    The tenant goes first and each part is led by its length, so no two tenants can ever feed the
    same bytes to the hash. The dialect is a part too: a field's name may mean something else there.
    """
    tenant, dialect = request.caller.tenant, request.dialect
    parts = (
        f"{SCHEMA} {len(tenant)}:{tenant}{len(dialect)}:{dialect}"
        f"{len(target)}:{target}{len(params)}:{params}"
    )
    digest = hashlib.sha256(parts.encode("utf-8", "surrogatepass"))
    digest.update(_written(shape))
    return digest.digest()


def _written(shape: Mapping[str, object]) -> bytes:
    """Return the shape in the one way that it has: as MessagePack, which need not escape texts.

    As JSON where a number has more than 64 bits; no MessagePack of an object begins like that.
    """
    try:
        return msgspec.msgpack.encode(shape, order="sorted")
    except OverflowError:
        return msgspec.json.encode(shape, order="sorted")
