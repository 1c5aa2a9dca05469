"""Cache key: one name for all requests that may share an answer, and for no others.

A request is its context and what is asked: the text of its last user turn. The context is all else
that shapes the answer, its tenant first. Keys of one context differ in what they make of the text:
the exact key takes it as it is, and whoever holds two wordings for one has another key, under the
name of that way of reading. So however texts are compared, nothing else may ever differ.
"""

import hashlib
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from pointsman.core.types import Decision, Request, Snapshot
from pointsman.core.wire import CODECS

if TYPE_CHECKING:
    from hashlib import _Hash

# Raised whenever the key is made of other things than before: old answers are then never found.
SCHEMA = "pointsman-key-4"

KeyFacts: TypeAlias = tuple[str, tuple[str, ...], str, bool, bool]

# All that `answer_keys` reads of a decision.
key_facts: Callable[[Decision], KeyFacts] = attrgetter(
    "tier", "deployments", "policy", "may_escalate", "must_verify"
)

# Ends a context before a text. No MessagePack and no JSON has this byte in its structure
# (https://github.com/msgpack/msgpack/blob/master/spec.md: "never used"), and both say themselves
# where they end.
_TEXT_MARK = b"\xc1"


class AnswerKeys:
    """The keys under which a request's answer may stand.

    `asked`: the text of the last user turn, None where the request has no such text that could be
    told apart; then there is the exact key alone. `exact`: 32 bytes. `temperature`: as the request
    states it, None where it states none. `normalised`: the key of the text's normal form, once
    somebody has made it.
    """

    __slots__ = ("_context", "asked", "exact", "normalised", "temperature")

    def __init__(self, context: "_Hash", asked: str | None, temperature: float | None) -> None:
        self._context = context
        self.asked = asked
        self.temperature = temperature
        self.normalised: bytes | None = None
        self.exact = context.digest() if asked is None else self.read_as("", asked)

    @property
    def context(self) -> bytes:
        """Return 32 bytes that all requests share which differ in their text alone."""
        return self._context.digest()

    def read_as(self, reading: str, text: str) -> bytes:
        """Return the key, 32 bytes, of what a reading makes of the text; "" takes it as it is."""
        digest = self._context.copy()
        digest.update(b"%b%b\n" % (_TEXT_MARK, reading.encode()))
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()


def answer_keys(request: Request, decision: Decision, snapshot: Snapshot) -> AnswerKeys:
    """Return the keys of the answer that a decision leads to. Raises RequestError.

    A part of the context are all deployments that may answer, with their parameters and the tier's
    `max_tokens`, so that a changed configuration finds no old answers.
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
    return request_keys(
        request,
        target=f"{decision.tier}\n{pinned}",
        params=f"{chain}{max_tokens},{decision.may_escalate},{decision.must_verify}",
    )


def request_keys(request: Request, *, target: str, params: str) -> AnswerKeys:
    """Return the keys of a request under a resolved deployment or tier and its own parameters.

    The codec of its dialect says what shapes the answer: decoded JSON whose whole numbers are ints.
    Equal JSON gives equal keys however it is written: spacing, order of keys, escapes, 1 or 1.0.
    Raises RequestError.
    """
    codec = CODECS[request.dialect]
    shape = codec.shape(request)
    temperature = _temperature(shape)
    asked = codec.take_asked(shape)
    context = _context(request, shape, target=target, params=params)
    return AnswerKeys(context, asked, temperature)


def _context(request: Request, shape: Mapping[str, object], *, target: str, params: str) -> "_Hash":
    """Return the hash of all that there is.

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
    return digest


def _written(shape: Mapping[str, object]) -> bytes:
    """Return the shape in the one way that it has: as MessagePack, which need not escape texts.

    As JSON where a number has more than 64 bits; no MessagePack of an object begins like that.
    """
    try:
        return msgspec.msgpack.encode(shape, order="sorted")
    except OverflowError:
        return msgspec.json.encode(shape, order="sorted")


def _temperature(shape: Mapping[str, object]) -> float | None:
    """Return the temperature that a body states, of Gemini's too."""
    stated = shape.get("temperature")
    if stated is None and isinstance(config := shape.get("generationConfig"), dict):
        stated = config.get("temperature")
    return stated if isinstance(stated, int | float) else None
